"""The demo behind the validator, for servers that load their app by name."""

from wsgiref.validate import validator

import app

application = validator(app.application)
