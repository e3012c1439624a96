"""What Mosquitto's dynamic security plugin is told: who may connect, as which client, and what it may say and hear.

The hub has one client that may do everything. Each device has a client and a role of its own, both named by its id: it connects under that
client id only, so that no other device can take its session, and reaches what bears its id and nothing else:

    v1/device/ID/#                                  seed 001
    EDC/+/+/DEPLOY-V2/NOTIFY/ID/+, and $EDC/...      Kura's notifications, to send
    +/ASTARTE_ID/#                                  Astarte: any realm; its id is the same in base64url

Below these it hears only what the hub says, and there it says nothing: what a device sent to itself and did not read would wait in
Mosquitto's memory, without end.

The plugin keeps PBKDF2-HMAC-SHA512 of each password, and so does the hub's database: the plugin's file is written anew from there whenever
Mosquitto starts.
"""

import base64
import hashlib
import json
import secrets
from typing import Any

from tools.hub import astarte_ids

TOPIC = "$CONTROL/dynamic-security/v1"
RESPONSE_TOPIC = f"{TOPIC}/response"
ADMIN = "redpoll-hub"
_SAID = ("config", "commands", "license", "space_info", "firmware")  # below v1/device/ID, by the hub
_ASKED = "io.edgehog.devicemanager.OTARequest/#"  # below REALM/ASTARTE_ID
_ITERATIONS = 101  # the plugin's own; keys are 128 random bits, which no number of them makes harder to guess
_SALT_BYTES = 12


def verifier(password: str) -> str:
    """What a password can be checked with: iterations, salt and hash, the last two in base64."""
    salt = secrets.token_bytes(_SALT_BYTES)
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"{_ITERATIONS} {base64.b64encode(salt).decode()} {base64.b64encode(made).decode()}"


def device_acls(device_id: str) -> list[dict[str, Any]]:
    """What a device's role allows; all else is refused."""
    xyte, astarte = f"v1/device/{device_id}", f"+/{astarte_ids.device_id(device_id)}"
    own = [f"{xyte}/#", f"{astarte}/#"]
    hears = [*(f"{xyte}/{end}" for end in _SAID), f"{astarte}/{_ASKED}"]
    notices = [f"{prefix}/+/+/DEPLOY-V2/NOTIFY/{device_id}/+" for prefix in ("EDC", "$EDC")]
    return [
        *({**_acl("publishClientSend", topic), "priority": 1, "allow": False} for topic in hears),
        *(_acl("publishClientSend", topic) for topic in (*own, *notices)),
        *(_acl("publishClientReceive", topic) for topic in hears),
        *(_acl("subscribePattern", topic) for topic in own),
    ]


def admit(device_id: str, access_key: str) -> list[dict[str, Any]]:
    """The commands that let a new device in."""
    client = {"username": device_id, "password": access_key, "clientid": device_id, "roles": [{"rolename": device_id}]}
    return [
        {"command": "createRole", "rolename": device_id, "acls": device_acls(device_id)},
        {"command": "createClient", **client},
    ]


def dismiss(device_id: str) -> list[dict[str, Any]]:
    """The commands that end a device's session and keep it out."""
    return [{"command": "deleteClient", "username": device_id}, {"command": "deleteRole", "rolename": device_id}]


def configuration(devices: list[tuple[str, str]], admin_password: str) -> str:
    """The plugin's file. `devices`: id and `verifier` of each."""
    everything = [f"{prefix}#" for prefix in ("", "$SYS/", "$EDC/", "$CONTROL/dynamic-security/")]
    admin = [_acl(kind, topic) for kind in ("publishClientSend", "publishClientReceive", "subscribePattern") for topic in everything]
    admin.append(_acl("subscribePattern", "$share/#"))
    return json.dumps(
        {
            "clients": [_client(ADMIN, verifier(admin_password)), *(_client(*device, bound=True) for device in devices)],
            "roles": [
                {"rolename": ADMIN, "acls": admin},
                *({"rolename": device_id, "acls": device_acls(device_id)} for device_id, _ in devices),
            ],
            "defaultACLAccess": {"publishClientSend": False, "publishClientReceive": False, "subscribe": False, "unsubscribe": True},
        }
    )


def _client(name: str, login: str, *, bound: bool = False) -> dict[str, Any]:
    iterations, salt, password = login.split()
    made: dict[str, Any] = {"username": name, "salt": salt, "password": password, "iterations": int(iterations)}
    if bound:
        made["clientid"] = name
    return {**made, "roles": [{"rolename": name}]}


def _acl(kind: str, topic: str) -> dict[str, Any]:
    return {"acltype": kind, "topic": topic, "priority": 0, "allow": True}
