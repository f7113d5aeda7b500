"""The list of attacks: what is tried, how it must be answered, and what it would give where it is not.

`tests` are node ids of tests elsewhere that try the same; in this folder a test says `@attack(NAME)`.
"""

from typing import Final, NamedTuple

import pytest


class Row(NamedTuple):
    """One attack. gains: what the attacker would have of it."""

    theme: str
    attack: str
    expected: str
    gains: str
    tests: tuple[str, ...] = ()


_ALIKE = "tests/integration/test_alike.py"
_AUTHORIZER = "tests/integration/test_authorizer.py"
_BAD = "tests/integration/test_bad_input.py"
_BODY = "tests/integration/test_publish_body.py"
_CLAIMS = "tests/unit/auth/test_claims.py"
_CORS = "tests/integration/test_cors.py"
_GAPS = "tests/integration/test_gaps.py"
_HANDOFF = "tests/integration/test_handoff.py"
_ISSUER = "tests/unit/tenants/test_issuer.py"
_ISSUERS = "tests/integration/test_issuers.py"
_KEYRING = "tests/unit/auth/test_keyring.py"
_LIMITS = "tests/integration/test_limits.py"
_MASKING = "tests/unit/shape/test_masking.py"
_NATS = "tests/contract/test_permissions.py"
_OUTBOUND = "tests/unit/edge/test_outbound.py"
_QUOTAS = "tests/integration/test_quota_race.py"
_REFUSALS = "tests/integration/test_refusals.py"
_REVOCATIONS = "tests/integration/test_revocations.py"
_SLOW = "tests/integration/test_slow_reader.py"
_SOCKETS = "tests/integration/test_sockets.py"
_STREAMS = "tests/integration/test_streams.py"
_TICKET = "tests/unit/auth/test_ticket.py"
_TICKETS = "tests/integration/test_tickets.py"
_TOKENS = "tests/integration/test_tokens.py"
_VERIFY = "tests/unit/auth/test_verify.py"

ROWS: Final[tuple[Row, ...]] = (
    # Frames: what a producer writes becomes lines of a protocol of lines.
    Row(
        "frames",
        "CR, LF, CRLF in data",
        "one data: line each, nothing else is a line end",
        "a producer writes id:, event: and retry: for every reader: false positions, false errors",
    ),
    Row(
        "frames",
        "CR or LF in an event's name or key",
        "400; over NATS a gap undeliverable",
        "the same by the fields that stand in front of the data",
        (f"{_BAD}::test_a_publish_that_is_malformed",),
    ),
    Row(
        "frames",
        "NUL in an id or a name",
        "400; over NATS a gap undeliverable",
        "Chromium forgets the id, Firefox loses the whole event: readers resume at the wrong place",
    ),
    Row(
        "frames",
        "NUL in data",
        "it stays inside its data line; in JSON it stays \\u0000",
        "a parser that ends strings at NUL shows half an event, and takes the rest for another",
    ),
    Row(
        "frames",
        "invalid UTF-8, half a surrogate pair",
        "400; over NATS a gap undeliverable",
        "each reader's decoder makes something else of it, or dies: one event stops a tenant",
    ),
    Row(
        "frames",
        "a BOM",
        "never the first bytes of a stream; in data it stays data",
        "a BOM before a field makes its name unknown, and the event is lost",
    ),
    Row(
        "frames",
        "retry: from a producer",
        "not a field; over NATS not looked at",
        "retry: 0 makes every Chromium connect again in a hot loop: the producer's own botnet",
    ),
    Row(
        "frames",
        "event: error, open, message, stream.*",
        "400; over NATS a gap undeliverable",
        "the producer fires onerror and onopen, and tells false gaps, drains and refusals",
        (f"{_GAPS}::test_what_cannot_be_delivered_is_told_in_its_place",),
    ),
    Row(
        "frames",
        "a key that is no part of an id",
        "the id has [A-Za-z0-9._-] alone, at most 128, and is taken on resume",
        "ids that no browser sends back, or that an edge refuses for ever with 400",
    ),
    # Subjects: names become NATS subjects.
    Row(
        "subjects",
        "reading *, >, a..b, .a, spaces, $SYS, $JS, _INBOX",
        "400, or a topic of the own tenant by that name",
        "other tenants' events, JetStream's API, acknowledgements",
        (f"{_BAD}::test_a_read_that_is_malformed",),
    ),
    Row(
        "subjects",
        "publishing to *, >, a..b, .a, spaces, $SYS, $JS, _INBOX",
        "400, or a topic of the own tenant by that name; over NATS a gap undeliverable",
        "commands to JetStream, forged acknowledgements, events that every reader gets",
    ),
    Row(
        "subjects",
        "a tenant's name that is a subject",
        "400, in a token 401",
        "a tenant * would read everybody's events, one a.b another's topics",
        (f"{_BAD}::test_the_tenant_is_named_once_and_known",),
    ),
    # Tokens.
    Row(
        "tokens",
        "alg: none",
        "401",
        "anybody is anybody",
        (f"{_VERIFY}::test_a_token_without_a_signature_is_refused",),
    ),
    Row(
        "tokens",
        "a public key taken for an HMAC secret",
        "401",
        "the issuer's public key signs tokens for everybody",
        (f"{_VERIFY}::test_a_public_key_is_no_secret",),
    ),
    Row(
        "tokens",
        "another algorithm than the issuer's",
        "401",
        "the weakest algorithm that the library knows is the one that counts",
        (f"{_VERIFY}::test_the_algorithm_is_the_issuers_choice_not_the_tokens",),
    ),
    Row(
        "tokens",
        "jku, x5u, jwk, x5c, kid in the header",
        "401; no URL of a token is asked",
        "the attacker's own key counts, and the edge asks where the attacker likes (SSRF)",
        (f"{_VERIFY}::test_a_header_that_points_to_a_key_leads_nowhere",),
    ),
    Row(
        "tokens",
        "JWKS: redirect, huge, slow, not JSON",
        "503, nothing else is asked, 256 KiB, 5 s",
        "the edge reads internal addresses, or the issuer's answer fills its memory",
        (f"{_ISSUERS}::test_an_issuer_that_never_answered_well_is_503",),
    ),
    Row(
        "tokens",
        "JWKS: file://, http://, a user in the URL",
        "the document is refused",
        "files of the pod, internal services, keys that anybody on the way can change",
        (f"{_ISSUER}::test_what_would_open_a_hole_or_never_work_is_refused",),
    ),
    Row(
        "tokens",
        "made-up kids",
        "401; the issuer is asked once in 10 s",
        "every pod is a hammer on the issuer, and on the day it falls nobody gets in",
        (
            f"{_ISSUERS}::test_a_new_key_works_at_once_and_the_old_one_no_longer",
            f"{_KEYRING}::test_made_up_names_cost_one_reading",
        ),
    ),
    Row(
        "tokens",
        "no exp, huge exp, exp as a string or a float",
        "401",
        "a token that was once stolen is good for ever",
        (f"{_CLAIMS}::test_exp_is_an_integer_within_the_longest_life",),
    ),
    Row(
        "tokens",
        "aud, iss, sub, nbf, iat, tenant that are wrong",
        "401",
        "tokens of another service, another issuer or another time are taken",
        (f"{_CLAIMS}::test_what_is_missing_or_strange_is_refused_and_not_repeated",),
    ),
    Row(
        "tokens",
        "a token that expires while its stream is open",
        "error SSE_TOKEN_EXPIRED, then the end",
        "who was let go reads on for as long as the connection lives",
        (f"{_TOKENS}::test_a_stream_is_warned_and_ends_with_its_token",),
    ),
    Row(
        "tokens",
        "a token in the URL",
        "401 unless the tenant wants it; no cache, no referrer",
        "histories, proxies and their logs are full of tokens",
        (f"{_TOKENS}::test_a_token_in_the_url_counts_only_where_the_tenant_says_so",),
    ),
    Row(
        "tokens",
        "a tenant's issuer that speaks for another tenant",
        "401",
        "whoever administers one tenant is everybody in all of them",
        (f"{_ISSUERS}::test_a_tenant_with_issuers_of_its_own_takes_no_others",),
    ),
    Row(
        "tokens",
        "two credentials, half of one, megabytes of one",
        "400 or 401, before anything is parsed",
        "the proxy looks at one, the edge at the other",
    ),
    Row(
        "tokens",
        "one token, two texts",
        "401",
        "a revoked or remembered token comes back under another spelling",
        (f"{_VERIFY}::test_a_token_has_one_text",),
    ),
    Row(
        "tokens",
        "guessing by the clock",
        "a refusal costs the same, whatever there is",
        "the time of a 401 tells which tenants, issuers and keys there are",
        (
            f"{_VERIFY}::test_each_refusal_costs_one_check_whether_or_not_there_is_such_a_tenant_issuer_or_key",
            f"{_ALIKE}::test_whoever_is_named_a_forged_token_is_one_check_and_one_answer",
        ),
    ),
    # Isolation.
    Row(
        "isolation",
        "another tenant's event id",
        "200 with a gap reset, as for an id that nobody has",
        "another's events, or that there are any, by walking through ids",
        (f"{_GAPS}::test_an_id_of_another_tenant_is_one_of_another_log",),
    ),
    Row(
        "isolation",
        "another tenant by name",
        "403",
        "another's events",
    ),
    Row(
        "isolation",
        "topics beyond the token",
        "403, never narrowed in silence",
        "what the issuer meant to keep from this reader, by a wider filter or by none",
        (f"{_TOKENS}::test_a_token_without_topics_of_its_own_gets_those_it_asks_for",),
    ),
    Row(
        "isolation",
        "publishing beyond the token",
        "403; in a batch each event for itself",
        "forged events in topics of others",
        (f"{_TOKENS}::test_publishing_needs_the_scope_and_every_topic",),
    ),
    Row(
        "isolation",
        "enumeration of tenants and topics",
        "one 403 and one 401, equal bodies",
        "the list of customers, and whose topics are worth an attack",
        (
            f"{_TOKENS}::test_what_is_not_there_and_what_is_not_permitted_look_alike",
            f"{_VERIFY}::test_before_the_signature_is_right_nobody_learns_why_it_is_not",
        ),
    ),
    Row(
        "isolation",
        "counting another tenant's events",
        "sequences of a tenant move by its own events alone",
        "a competitor's turnover, by two ids a day",
    ),
    Row(
        "isolation",
        "another tenant's message ids",
        "each tenant de-duplicates for itself",
        "a tenant that guesses an id makes another's event vanish as a duplicate",
    ),
    # Browsers.
    Row(
        "browser",
        "pages of other origins: null, suffixes, case, port, userinfo",
        "403, no stream, nothing stored",
        "any page reads with its visitor's cookie",
        (f"{_CORS}::test_another_origin_opens_nothing_and_stores_nothing",),
    ),
    Row(
        "browser",
        "a stream opened though its page cannot read it",
        "the origin is judged first: 403",
        "pages open streams by the thousand that only the server knows of",
        (
            f"{_CORS}::test_a_refused_origin_is_answered_before_the_body",
            f"{_CORS}::test_with_tokens_an_origin_is_judged_before_the_token",
        ),
    ),
    Row(
        "browser",
        "two Origin headers",
        "403",
        "one for the check, one for the answer",
        (f"{_CORS}::test_two_origins_are_none",),
    ),
    Row(
        "browser",
        "* with credentials",
        "never: an exact origin, or no credentials",
        "browsers that take it share a visitor's events with everybody",
        (f"{_CORS}::test_without_tokens_and_rules_everybody_may_but_with_no_credentials",),
    ),
    Row(
        "browser",
        "CSRF: a form or an image of another site, with the cookie",
        "401, 403 or 415; nothing stored",
        "another site publishes as its visitor",
        (
            f"{_TOKENS}::test_without_a_good_credential_it_is_401",
            f"{_TOKENS}::test_a_cookie_counts_for_a_page_that_may_send_credentials",
        ),
    ),
    Row(
        "browser",
        "an answer taken for a page or a script",
        "nosniff, and no type that a browser runs",
        "what a producer wrote runs as a script of our origin",
    ),
    # HTTP.
    Row(
        "http",
        "slowloris: a head that drips, or never comes",
        "closed at the head's deadline",
        "a laptop holds every connection of a pod",
    ),
    Row(
        "http",
        "slowloris: a body that drips",
        "408 at the body's deadline",
        "the same, one step further in",
        (
            f"{_BAD}::test_a_body_that_drips_ends_at_its_deadline",
            f"{_BODY}::test_a_body_that_drips_ends_at_its_deadline",
        ),
    ),
    Row(
        "http",
        "decompression bombs",
        "413, in the memory of an honest body",
        "a few KB take the pod's memory",
        (f"{_BODY}::test_a_bomb_costs_no_more_than_an_honest_body",),
    ),
    Row(
        "http",
        "bodies over the limit, announced or not",
        "413, as soon as it is clear",
        "the pod's memory",
        (
            f"{_BAD}::test_a_body_that_is_too_large_is_refused_as_soon_as_it_is",
            f"{_BODY}::test_a_body_that_is_announced_too_large_is_refused_before_it_comes",
        ),
    ),
    Row(
        "http",
        "request smuggling",
        "400 and the end of the connection; never two answers",
        "a request that the proxy did not see: past its rules, or as its next visitor",
        (f"{_BAD}::test_what_is_no_http_is_400_and_no_error_of_ours",),
    ),
    Row(
        "http",
        "huge heads, cookies and URLs",
        "400",
        "the pod's memory, before anybody was asked for a token",
    ),
    Row(
        "http",
        "header injection",
        "no header of the answer has what a caller wrote, but an allowed origin and a trace id",
        "cookies and redirects for others in a proxy's cache",
    ),
    Row(
        "http",
        "requests behind a stream",
        "not read as requests; more than 16 KiB ends the stream",
        "a second request without a check, or a descriptor that only takes",
        (
            f"{_HANDOFF}::test_a_request_pipelined_behind_the_stream_is_dropped",
            f"{_HANDOFF}::test_more_input_than_16_kib_ends_the_stream",
        ),
    ),
    Row(
        "http",
        "any bytes at all",
        "an answer of the contract, no 500, no traceback, and the next client is served",
        "one request that stops a pod",
    ),
    # Exhaustion.
    Row(
        "exhaustion",
        "slow readers",
        "closed after the write deadline, bounded until then",
        "each of them holds memory for ever, and all others wait",
        (
            f"{_SLOW}::test_a_reader_that_never_reads_is_closed_and_costs_nobody_anything",
            f"{_SLOW}::test_a_reader_that_pauses_gets_every_byte_that_the_others_got",
        ),
    ),
    Row(
        "exhaustion",
        "replay from the first event, again and again",
        "a gap limited; goes on at the oldest inside the quota",
        "a request of 100 bytes makes NATS read the whole log",
        (f"{_GAPS}::test_a_replay_over_the_quota_is_cut_to_its_newest_events",),
    ),
    Row(
        "exhaustion",
        "more connections than the process has",
        "503, told so that an EventSource comes back",
        "no descriptor is left, and the accept loop spins",
        (
            f"{_REFUSALS}::test_the_limit_holds_against_many_at_once",
            f"{_REFUSALS}::test_a_process_that_is_full_takes_the_next_when_one_has_left",
        ),
    ),
    Row(
        "exhaustion",
        "more connections than the tenant's quota, over all pods at once",
        "429, never one more",
        "one tenant's clients are everybody's outage",
        (
            f"{_QUOTAS}::test_of_600_at_once_over_three_edges_300_come_in_and_never_more",
            f"{_QUOTAS}::test_a_request_that_fails_after_it_was_let_in_gives_its_place_back",
        ),
    ),
    Row(
        "exhaustion",
        "more connections than one address may have",
        "429; an IPv6 client is its /64",
        "one laptop takes a pod",
        (
            f"{_LIMITS}::test_an_address_has_so_many_streams_and_polls",
            f"{_LIMITS}::test_an_ipv6_client_is_its_network",
        ),
    ),
    Row(
        "exhaustion",
        "X-Forwarded-For that is made up",
        "believed of trusted proxies alone, from the right",
        "a new address for every connection, or somebody else's",
        (
            f"{_LIMITS}::test_without_trusted_proxies_nobody_is_believed",
            "tests/unit/edge/test_address.py::test_the_list_is_read_from_the_right_as_far_as_it_is_ours",
            "tests/unit/edge/test_address.py::test_an_entry_that_is_no_address_ends_the_walk",
        ),
    ),
    Row(
        "exhaustion",
        "idle connections by the thousand",
        "refused in good order; streams do not notice",
        "no descriptor is left for anybody",
        (
            f"{_SOCKETS}::test_300_idle_connections_are_refused_in_good_order_and_no_stream_notices",
            f"{_SOCKETS}::test_descriptors_that_others_took_do_not_end_the_listening",
            f"{_SOCKETS}::test_an_idle_connection_is_closed_after_the_head_deadline",
        ),
    ),
    Row(
        "exhaustion",
        "many large bodies at once, many polls at once",
        "429 or 503; no tenant has all the room",
        "the pod's memory, by requests that are each allowed",
        (
            f"{_LIMITS}::test_bodies_under_way_have_a_bound_and_no_tenant_has_it_all",
            f"{_LIMITS}::test_a_poll_that_waits_takes_a_place_of_the_tenant_and_gives_it_back",
        ),
    ),
    Row(
        "exhaustion",
        "one user takes the tenant's quota",
        "429 by connections_per_subject",
        "one stolen token shuts everybody of its tenant out",
    ),
    Row(
        "exhaustion",
        "many topics, long topics, many events",
        "400 or 413",
        "the work of a request grows without a bound",
    ),
    Row(
        "exhaustion",
        "JSON that costs more than its bytes",
        "400 or 413 at once: nesting, members, repeated names",
        "the event loop stands still for all clients of the pod",
    ),
    Row(
        "exhaustion",
        "a poll for everything",
        "a page ends after 8 MiB",
        "256 MB of answer in memory for 100 bytes of request",
    ),
    Row(
        "exhaustion",
        "secrets guessed by compression (BREACH)",
        "no secret in a stream; blocks only for equal audiences; compression can be off",
        "a token, letter by letter, from the lengths of blocks",
        ("tests/integration/test_gzip.py::test_a_tenant_may_turn_it_off",),
    ),
    # Leaks.
    Row(
        "leaks",
        "tokens in logs and errors",
        "not one, whatever fails",
        "whoever may read logs is every user",
        (f"{_TOKENS}::test_no_token_is_ever_logged",),
    ),
    Row(
        "leaks",
        "stack traces and insides in answers",
        "code, message, trace id",
        "versions, paths and addresses for the next attack",
    ),
    Row(
        "leaks",
        "log injection: CR, LF, ANSI, JSON",
        "one line a record, whatever is in it",
        "false lines in the log, commands for the terminal that shows it",
        (
            "tests/unit/telemetry/test_logs.py::test_what_comes_from_outside_stays_in_its_line",
            "tests/unit/telemetry/test_logs.py::test_of_a_traceback_no_line_looks_like_a_record",
        ),
    ),
    Row(
        "leaks",
        "the admin port's paths on the clients' port",
        "404",
        "tenants, readers and refusals for everybody",
    ),
    Row(
        "leaks",
        "masked fields: arrays, JSON in strings, other keys' spelling, other digits, numbers",
        "masked on streams, replays and polls; what cannot be read is withheld",
        "phone numbers, for whoever writes the field a little differently",
        (
            f"{_MASKING}::test_a_key_is_known_in_every_spelling",
            f"{_MASKING}::test_json_in_strings_is_masked_to_the_bottom",
            f"{_MASKING}::test_what_cannot_be_read_for_sure_is_refused",
        ),
    ),
    Row(
        "leaks",
        "secrets in settings and their errors",
        "never shown",
        "the password of NATS in a start-up log",
        ("tests/unit/test_settings.py::test_secrets_are_never_shown",),
    ),
    # Tickets, revocations, administration.
    Row(
        "access",
        "a ticket spent twice, or on two edges at once",
        "one gets in, the other is 401",
        "whoever reads a URL in a log reads the stream",
        (
            f"{_TICKETS}::test_made_on_one_edge_spent_on_the_other_and_resumed_on_the_first",
            "tests/contract/test_tickets.py::test_of_all_who_show_one_ticket_exactly_one_gets_in",
            "tests/contract/test_tickets.py::test_a_spent_ticket_is_remembered_longer_than_any_clock_takes_it_for_good",
        ),
    ),
    Row(
        "access",
        "a ticket that is made up, changed, cut or old",
        "401",
        "streams without a token",
        (
            f"{_TICKET}::test_what_is_no_ticket_is_refused",
            f"{_TICKET}::test_one_changed_character_is_seen",
            f"{_TICKET}::test_before_and_after_that_it_is_refused_without_a_key",
            f"{_TICKET}::test_another_key_opens_nothing",
        ),
    ),
    Row(
        "access",
        "a ticket that allows more than its token, or after it was revoked",
        "as its token then: 403, 401",
        "a way around scopes, topics and revocations",
        (
            f"{_TICKETS}::test_what_it_allows_is_what_its_token_allows_then",
            f"{_TICKETS}::test_the_ticket_of_a_revoked_subject_lets_nobody_in",
            f"{_TICKETS}::test_who_gets_a_ticket",
        ),
    ),
    Row(
        "access",
        "a ticket's cookie for another site, or without TLS",
        "set where it counts and nowhere else",
        "another site's page reads by its visitor's cookie",
        (
            f"{_TICKETS}::test_the_cookie_is_set_where_it_counts_and_nowhere_else",
            f"{_TICKETS}::test_a_page_of_another_origin_may_ask_where_the_tenant_allows_it",
        ),
    ),
    Row(
        "access",
        "tickets in logs",
        "not one, nor the token inside",
        "whoever may read logs is every user",
        (f"{_TICKETS}::test_nothing_of_a_ticket_or_its_token_is_logged",),
    ),
    Row(
        "access",
        "a revoked token, subject or tenant goes on",
        "open streams end within a second on every edge, new ones are 401",
        "who was let go reads on until the token ends",
        (
            f"{_REVOCATIONS}::test_a_subject_is_sent_away_from_three_edges_within_a_second_and_nobody_else",
            f"{_REVOCATIONS}::test_a_whole_tenant_with_the_token_that_said_so",
            f"{_REVOCATIONS}::test_a_poll_that_waits_gets_nothing_once_its_token_is_revoked",
        ),
    ),
    Row(
        "access",
        "a revoked token at an edge that does not know yet",
        "503 until the revocations are loaded; an edge that was cut off catches up",
        "a restart, or a cut cable, undoes every revocation",
        (
            f"{_REVOCATIONS}::test_before_the_revocations_are_loaded_nobody_gets_in",
            f"{_REVOCATIONS}::test_an_edge_that_was_cut_off_catches_up",
            f"{_REVOCATIONS}::test_an_edge_that_begins_later_knows",
        ),
    ),
    Row(
        "access",
        "revocations without end",
        "429, and the way out stays open",
        "one tenant fills the memory of every edge",
        (f"{_REVOCATIONS}::test_a_tenant_cannot_fill_the_memory_of_all",),
    ),
    Row(
        "access",
        "another tenant's administrator",
        "403 or 404, as for what is not there; nothing ends, nothing is revoked",
        "one customer ends another's streams, and reads who they are",
        (f"{_STREAMS}::test_another_tenants_streams_are_not_there",),
    ),
    Row(
        "access",
        "administration without the scope",
        "403",
        "every reader ends every stream",
        (
            f"{_STREAMS}::test_without_the_scope_nothing_is_seen_or_ended",
            f"{_REVOCATIONS}::test_what_cannot_be_understood_revokes_nothing",
        ),
    ),
    Row(
        "access",
        "renewing a stream with a token that does not cover it",
        "401 or 403, the stream keeps its end",
        "streams that outlive their right, or show what was masked",
        (
            f"{_STREAMS}::test_a_token_that_does_not_cover_the_stream_is_refused",
            f"{_STREAMS}::test_what_was_unmasked_needs_the_scope_again",
            f"{_STREAMS}::test_a_bad_token_renews_nothing",
        ),
    ),
    # What an edge asks for itself.
    Row(
        "webhook",
        "an authorizer that is dead, slow, huge or talks nonsense",
        "503: nobody gets in without an answer",
        "whoever can break the webhook is let in everywhere",
        (
            f"{_AUTHORIZER}::test_without_an_answer_nobody_gets_in_and_all_are_told_to_come_back",
            "tests/unit/edge/test_authorizer.py::test_what_is_no_answer_lets_nobody_in",
            f"{_AUTHORIZER}::test_a_dead_webhook_costs_a_few_their_timeout_and_the_crowd_nothing",
        ),
    ),
    Row(
        "webhook",
        "a door that does not ask the authorizer",
        "every door asks, with the topics of the request; renewals and cookies, too",
        "the one door that was forgotten",
        (
            f"{_AUTHORIZER}::test_every_door_asks_with_the_callers_token_and_the_topics_of_the_request",
            f"{_AUTHORIZER}::test_a_stream_goes_on_by_a_newer_token_only_if_the_authorizer_says_so",
        ),
    ),
    Row(
        "webhook",
        "what the authorizer says, to a stranger",
        "the one 403",
        "reasons that tell what there is",
        (
            f"{_AUTHORIZER}::test_who_is_refused_learns_no_more_than_from_any_other_403",
            f"{_AUTHORIZER}::test_nothing_of_a_token_is_logged_or_told_whatever_the_webhook_does",
        ),
    ),
    Row(
        "webhook",
        "SSRF: keys or an authorizer in a private network",
        "not asked where SLIPSTREAM_DENY_PRIVATE_NETWORKS says so, by name, number or redirect",
        "a tenant's document makes the edge talk to the cluster's insides",
        (
            f"{_AUTHORIZER}::test_where_private_networks_are_denied_neither_keys_nor_authorizers_are_asked_there",
            f"{_OUTBOUND}::test_no_way_of_writing_it_leads_to_this_machine",
            f"{_OUTBOUND}::test_a_name_that_resolves_to_a_private_address_is_refused_when_it_is_connected_to",
            f"{_OUTBOUND}::test_a_redirect_is_an_answer_and_is_not_followed",
        ),
    ),
    # NATS: what reaches it past the edges.
    Row(
        "nats",
        "a producer publishes elsewhere",
        "refused by NATS",
        "events of other tenants, documents, JetStream's API",
        (f"{_NATS}::test_a_producer_publishes_to_nothing_else",),
    ),
    Row(
        "nats",
        "a producer listens",
        "refused by NATS",
        "everybody's events, unmasked",
        (f"{_NATS}::test_a_producer_hears_nothing",),
    ),
    Row(
        "nats",
        "an acknowledgement sent where the producer says",
        "it stays in the producer's account",
        "acknowledgements in another's stream, and over its document",
        (f"{_NATS}::test_an_acknowledgement_goes_no_further_than_the_producers_account",),
    ),
    Row(
        "nats",
        "an edge makes, purges or removes streams",
        "refused by NATS",
        "one pod that was broken into removes every event",
        (f"{_NATS}::test_an_edge_makes_and_removes_nothing",),
    ),
    Row(
        "nats",
        "a placeholder left as a password",
        "nats-server does not start",
        "a password that stands in our documentation",
        (f"{_NATS}::test_a_placeholder_is_never_a_password",),
    ),
    # Parsers of what comes from outside.
    Row(
        "parsers",
        "any text, header, body, token, key set, document",
        "a value or the documented refusal, in bounded time",
        "one request that stops a pod, or one document that stops them all",
        (
            "tests/property/test_publication.py::test_no_body_does_more_than_be_refused",
            "tests/property/test_publication.py::test_no_header_does_more_than_be_refused",
            "tests/property/test_topic.py::test_any_text_is_a_topic_a_filter_or_refused",
            "tests/property/test_position.py::test_any_text_is_a_position_or_refused",
            "tests/property/test_retry.py::test_garbage_is_no_preference",
            "tests/property/test_ticket.py::test_garbage_is_refused_and_nothing_else",
        ),
    ),
)

_NAMES: Final = frozenset(row.attack for row in ROWS)


def attack(name: str) -> pytest.MarkDecorator:
    """Says which row a test tries. Raises KeyError for one that is not in the list."""
    if name not in _NAMES:
        raise KeyError(f"there is no attack {name!r} in tests/security/attacks.py")
    return pytest.mark.attack(name)
