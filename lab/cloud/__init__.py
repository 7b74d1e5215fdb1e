# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulated cloud: a small OCI that the unmodified SDK and CLI accept.

`state.Cloud` keeps the records and changes them, `api.create_api` and `imds.create_imds` make the ASGI applications
over it, `pki.ensure` the keys, `http.server` a uvicorn server for them, `faults` breaks things on purpose. Sockets and
the world behind `state.Effects` belong to the caller; `testing.running` is a caller for tests.
"""
