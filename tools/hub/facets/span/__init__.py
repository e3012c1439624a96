"""The Span facet, under /span: the activity web socket of seed 003, and around it what reference span has.

The web socket is /span/collections/{collectionId}/activity. Each message is one JSON object with the seed's keys and no others. Ours, and
harmless to the vendor's client, which skips an object without a collectionId:

- `?deviceId=` and `?event=` filter; a gateway's id brings what the devices behind it do too.
- `?since=N` first tells what the hub still has with a greater `seq`, and puts the `seq` into each message; 0 is all there is. What it no
  longer has is told: `{"lost": n}`, or `{"lost": null, "restarted": time}` when the hub was started since then.
- `{"lost": n}` also tells a subscriber that did not keep up how many activities were dropped for it, the oldest first.
- `--keepalive` seconds pass between web socket pings; who does not answer one, or takes nothing for SEND_SECONDS, is closed.

Who may: `X-API-Token` with the operator key or a read-only token; `?api_token=` with a read-only token only, since addresses get logged;
`Authorization: TOKEN <jwt>`, or the operator key as on every other facet; and on the web socket, where none of these came, a first message
`{"jwt": ..., "collectionId", "deviceId", "gatewayId"}` within JWT_SECONDS, whose ids, where they are not empty, bound what is told.
The vendor makes tokens in its console; here the operator key gets one from POST /span/operator/tokens.

A collection is a space. Collections have the tag `name` (and `space`, not to be changed), devices `name`. A message of the inbox is a
telemetry message, its payload the JSON that was kept of it, not the bytes that came; its transport is `unspecified` over HTTP, which the
vendor does not have, and `gateway` for a device with a parent. A message of the outbox is a command: a payload that is a JSON object
`{"name", "parameters"}` is that command, any other is the command `message` with the parameter `payload`, base64 as it came.

Left out of the vendor's API: teams, outputs, firmware images, blobs, certificates (the list is empty), statistics, data dumps,
samples, gateways as things of their own (a gateway is a device that others have as parent), creating devices (they register themselves),
deleting collections, the web socket of messages (/from), field masks and any other tag.
"""
