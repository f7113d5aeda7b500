"""Who somebody is: tokens, the keys of their issuers, and what a verified token allows.

House rules. 1. What a token says is believed only after its signature was checked with a key of its tenant's issuer,
by an algorithm of that issuer's configuration. 2. No token, and no part of one, is ever logged or put into a message.
3. `authorizer`, `claims`, `jwk`, `jwks` and `revocations` are pure: time is an argument.
"""
