"""What the OpenAPI description says of the Xyte facet."""

from tools.hub.facets.openapi import Calls
from tools.hub.facets.xyte.docs import device_calls, operator_calls
from tools.hub.facets.xyte.docs.common import PATH_PARAMETERS, SCHEMES

__all__ = ["CALLS", "PATH_PARAMETERS", "SCHEMES"]

CALLS: Calls = {**device_calls.CALLS, **operator_calls.CALLS}
