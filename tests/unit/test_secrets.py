"""The tenants' secrets as files. See `slipstream.settings.secrets`."""

from pathlib import Path

import pytest

from slipstream.settings.secrets import SecretFiles
from slipstream.shape.event import SecretMissing
from slipstream.shape.hooks import BUILT_IN
from slipstream.shape.shaper import make_shaper
from slipstream.tenants.model import Tenant, TenantSpec


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for tenant, name, text in (
        ("acme", "signing", "a" * 32 + "\n"),
        ("other", "signing", "b" * 32),
        ("acme", "none", ""),
    ):
        (tmp_path / tenant).mkdir(exist_ok=True)
        (tmp_path / tenant / name).write_text(text)
    return tmp_path


def test_a_secret_is_what_its_file_has(directory: Path) -> None:
    assert SecretFiles(directory).get("acme", "signing") == b"a" * 32 + b"\n"


@pytest.mark.parametrize(
    "name", ["../other/signing", "..", ".", "/etc/passwd", "a/b", "", ".hidden", "x" * 65, "a\0b", "a\n"]
)
def test_a_path_is_no_name(directory: Path, name: str) -> None:
    with pytest.raises(SecretMissing, match="no secret's name"):
        SecretFiles(directory).get("acme", name)


def test_what_is_missing_is_told_with_its_place(directory: Path) -> None:
    with pytest.raises(SecretMissing, match=r"acme/absent \(No such file"):
        SecretFiles(directory).get("acme", "absent")
    with pytest.raises(SecretMissing, match="is empty"):
        SecretFiles(directory).get("acme", "none")
    with pytest.raises(SecretMissing, match="SLIPSTREAM_SECRETS names no directory"):
        SecretFiles(None).get("acme", "signing")


def test_a_document_cannot_name_another_tenants_secret(directory: Path) -> None:
    config = {"alg": "HS256", "secret": "../other/signing", "kid": "1"}
    spec = TenantSpec.model_validate({"hooks": [{"name": "sign", "config": config}]})
    shaper = make_shaper(Tenant.of("acme", spec), SecretFiles(directory).get, BUILT_IN, {})
    assert any(fault.startswith("hook sign: secret: '../other/signing' does not fit") for fault in shaper.faults)
