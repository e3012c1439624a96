"""What the OpenAPI description says of the hub's own calls, and the facets' joined to it."""

from pydantic import BaseModel, ConfigDict

from tools.hub.activity import EVENTS
from tools.hub.facets.astarte import docs as astarte_docs
from tools.hub.facets.kapua import docs as kapua_docs
from tools.hub.facets.openapi import OPERATOR_KEY, Answer, Call, Calls, Content, given, query
from tools.hub.facets.span import docs as span_docs
from tools.hub.facets.xyte import docs as xyte_docs
from tools.hub.facets.xyte.docs.common import refusals


class Health(BaseModel):
    """That the hub answers."""

    model_config = ConfigDict(extra="forbid")

    status: str


_ACTIVITY = (
    '{"collectionId":"17dj5j4ce8bkci","data":{"bytes":"9","transport":"unspecified"},"deviceId":"17kl14hm46h4c2",'
    '"event":"upstreamMessage","seq":17,"time":"2024-04-25 20:23:36"}\n'
)
_PEM = "-----BEGIN CERTIFICATE-----\nMIIBijCCATGgAwIBAgIUa8R8...\n-----END CERTIFICATE-----\n"
_HUB: Calls = {
    ("GET", "/health"): Call(given(Health, {"status": "ok"})),
    ("GET", "/ca.pem"): Call(
        {
            200: Answer("The certificate in PEM", (Content({"type": "string"}, {"example": _PEM}, "application/x-pem-file"),)),
            **refusals(404, s404="This hub has no CA: it was started with --no-tls"),
        }
    ),
    ("GET", "/activity"): Call(
        {
            200: Answer("One activity a line", (Content({"type": "string"}, {"example": _ACTIVITY}, "application/x-ndjson"),)),
            **refusals(401, 422, s422="last must be a number"),
        },
        secured_by=(OPERATOR_KEY,),
        query=(
            query("since", "a seq: only what came after it", {"type": "integer", "minimum": 0}),
            query("last", "at most so many of what has been", {"type": "integer", "minimum": 0}, 10),
            query("follow", "1: and then what comes, until one side goes", {"type": "string"}),
            query("deviceId", "only what this device does, and the devices behind it", {"type": "string"}),
            query("event", "only this event", {"type": "string", "enum": sorted(EVENTS)}),
            query("collectionId", "only this collection", {"type": "string"}),
        ),
    ),
}
CALLS: Calls = {**_HUB, **xyte_docs.CALLS, **astarte_docs.CALLS, **span_docs.CALLS, **kapua_docs.CALLS}
SCHEMES = {**xyte_docs.SCHEMES, **astarte_docs.SCHEMES, **span_docs.SCHEMES, **kapua_docs.SCHEMES}
PATH_PARAMETERS = {**xyte_docs.PATH_PARAMETERS, **astarte_docs.PATH_PARAMETERS, **span_docs.PATH_PARAMETERS, **kapua_docs.PATH_PARAMETERS}
