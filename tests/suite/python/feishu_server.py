"""Usage: feishu_server.py. Plays the Feishu service on loopback: HTTP, WebSocket and protobuf frames.

Prints its HTTP address and serves until it is killed. It counts as a judge only because `drive_feishu.py` drives it with
the official SDK first. Frames are the SDK's own protobuf classes, which insist on the required fields. Requests are
checked as the service documents it; what it would refuse is refused with its code. The test steers it under /control.
"""

import base64
import json
import logging
import random
import re
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

from lark_oapi.ws.pb.pbbp2_pb2 import Frame
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

APP_ID, APP_SECRET = "cli_0123456789abcdef", "right-secret"
BOT = "ou_bot"
EMOJI = {"OnIt", "Typing", "Get", "OK", "THUMBSUP", "DONE", "CheckMark", "CrossMark", "ERROR", "HEART", "SMILE"}


class Refusal(Exception):
    def __init__(self, code, msg="refused", status=400, headers=None):
        self.code, self.msg, self.status, self.headers = code, msg, status, headers or {}


class World:
    """Everything the service knows; one lock."""

    def __init__(self):
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.n = 0
        self.config = {"ping_interval": 120, "redeliver_after": 15.0, "pong_interval": None, "chat_qps": None,
                       "ws_base": None}
        self.tokens = {}
        self.tickets = set()
        self.messages = {}
        self.sent = []
        self.uuids = {}
        self.cards = {}
        self.uploads = {}
        self.resources = {}
        self.held = set()
        self.users = {}
        self.links = []
        self.waiting = []
        self.deliveries = {}
        self.faults = []
        self.calls = []
        self.counts = {"connects": 0, "pings": 0, "acks": 0, "refused_acks": 0, "token_calls": 0, "bad_frames": 0}
        self.ack_ms = []
        self.silent_ms = []
        self.recent = {}

    def id(self, prefix):
        self.n += 1
        return f"{prefix}{self.n:08x}"


world = World()


# The long connection.

class Link:
    def __init__(self, connection):
        self.connection, self.silent, self.lock = connection, None, threading.Lock()

    def send(self, frame):
        # A silent link is dead in both directions, and nobody is told.
        with self.lock:
            if self.silent:
                return
            self.connection.send(frame.SerializeToString())


def new_frame(kind, method, payload, extra=()):
    frame = Frame()
    frame.SeqID, frame.LogID, frame.service, frame.method = 1, 2, 33, method
    for key, value in (("type", kind), *extra):
        header = frame.headers.add()
        header.key, header.value = key, value
    if payload is not None:
        frame.payload = payload
    return frame


def handshake(connection, request):
    ticket = parse_qs(urlparse(request.path).query).get("ticket", [""])[0]
    with world.lock:
        refused = next((fault for fault in world.faults if fault.get("handshake") and fault["times"] > 0), None)
        if refused:
            refused["times"] -= 1
            response = connection.respond(403, "refused")
            for name, value in refused["headers"].items():
                response.headers[name] = value
            return response
        if ticket not in world.tickets:
            response = connection.respond(403, "refused")
            response.headers["Handshake-Status"] = "514"
            response.headers["Handshake-Msg"] = "ticket used or unknown"
            return response
        world.tickets.remove(ticket)
    return None


def serve_link(connection):
    link = Link(connection)
    with world.lock:
        world.links.append(link)
        world.counts["connects"] += 1
        world.changed.notify_all()
    try:
        for message in connection:
            if link.silent:
                # A peer that died: nothing is read any more as far as anybody can tell.
                continue
            take_frame(link, message)
    except ConnectionClosed:
        pass
    finally:
        with world.lock:
            if link in world.links:
                world.links.remove(link)
            if link.silent:
                world.silent_ms.append((time.monotonic() - link.silent) * 1000)
            world.changed.notify_all()


def take_frame(link, message):
    # Before anything else: waiting for this program's own lock is no delay of the bot's.
    arrived = time.monotonic()
    frame = Frame()
    try:
        frame.ParseFromString(message)
        for name in ("SeqID", "LogID", "service", "method"):
            assert frame.HasField(name), name
    except Exception as error:
        with world.lock:
            world.counts["bad_frames"] += 1
        print(f"bad frame: {error}", file=sys.stderr)
        return
    headers = {header.key: header.value for header in frame.headers}
    if frame.method == 0 and headers.get("type") == "ping":
        with world.lock:
            world.counts["pings"] += 1
            config = {"PingInterval": world.config["pong_interval"]} if world.config["pong_interval"] else None
            world.changed.notify_all()
        link.send(new_frame("pong", 0, json.dumps(config).encode() if config else None))
        return
    answer = json.loads(frame.payload)
    with world.lock:
        push = world.deliveries.get(headers.get("message_id"))
        if push is None:
            world.counts["bad_frames"] += 1
            return
        delivery, sent_headers, sent_at = push
        for key in ("instance_id", "trace_id", "message_id", "sum", "seq", "type", "timestamp"):
            if headers.get(key) != sent_headers.get(key):
                world.counts["bad_frames"] += 1
                print(f"header {key} was not echoed", file=sys.stderr)
        world.ack_ms.append((arrived - sent_at) * 1000)
        delivery["answers"].append(answer)
        world.counts["acks" if answer.get("code") == 200 else "refused_acks"] += 1
        if answer.get("code") == 200:
            delivery["done"] = True
        else:
            delivery["due"] = time.monotonic() + world.config["redeliver_after"]
        world.changed.notify_all()


def deliver_loop():
    """Sends what waits to one random connection, again after a while without a good answer."""
    while True:
        with world.lock:
            now = time.monotonic()
            due = [d for d in world.waiting if d["due"] <= now and not d["done"]]
            world.waiting = [d for d in world.waiting if not d["done"]]
            if not due or not world.links:
                world.changed.wait(0.05 if world.waiting else None)
                continue
            links = list(world.links)
            for delivery in due:
                delivery["due"] = now + world.config["redeliver_after"]
        for delivery in due:
            send_delivery(random.choice(links), delivery)


def send_delivery(link, delivery):
    payload, pieces = delivery["payload"], delivery["pieces"]
    with world.lock:
        message_id = world.id("push-")
        delivery["tries"] += 1
        base = {"type": "event", "message_id": message_id, "trace_id": world.id("trace-"),
                "timestamp": str(int(time.time() * 1000)), "instance_id": "instance-7"}
        # Of a split event the answer carries the headers of the piece that completed it.
        sent_headers = dict(base, sum=str(pieces))
        world.deliveries[message_id] = (delivery, sent_headers, time.monotonic())
    size = -(-len(payload) // pieces) if payload else 0
    order = list(range(pieces))
    if pieces > 1:
        random.shuffle(order)
    for seq in order:
        headers = dict(base, sum=str(pieces), seq=str(seq))
        sent_headers["seq"] = str(seq)
        extra = [(key, value) for key, value in headers.items() if key != "type"]
        frame = new_frame("event", 1, payload[seq * size:(seq + 1) * size], extra)
        try:
            link.send(frame)
        except Exception:
            return


# The API.

def need(condition, code, msg="bad parameter"):
    if not condition:
        raise Refusal(code, msg)


def check_card(text):
    need(isinstance(text, str), 230001, "card is no string")
    try:
        card = json.loads(text)
    except ValueError:
        raise Refusal(230099, "Failed to create card content, ext=ErrCode: 200621; ErrMsg: parse card json err")
    if card.get("type") == "card":
        entity = world.cards.get(card["data"]["card_id"])
        need(entity is not None, 230099, "ext=ErrCode: 200740; no such card")
        need(not entity["shown"], 230099, "ext=ErrCode: 11310; an entity is sent once")
        entity["shown"] = True
        return card
    check_card_json(card)
    return card


def check_card_json(card):
    need(card.get("schema") == "2.0", 230099, "ext=ErrCode: 200621; not a 2.0 card")
    elements = card.get("body", {}).get("elements", [])
    need(len(elements) <= 200, 230099, "ext=ErrCode: 11310; ErrMsg: element exceeds the limit")
    tables = 0
    for element in elements:
        need(element.get("tag") not in ("note", "action"), 230099, "ext=ErrCode: 200861; unsupported tag")
        text = element.get("content", "") if element.get("tag") == "markdown" else ""
        tables += len(re.findall(r"^\s*\|?\s*:?-+:?\s*(\|\s*:?-*:?\s*)*\|?\s*$", text, re.M)) if "|" in text else 0
        outside = re.sub(r"```.*?```", "", text, flags=re.S)
        for link in re.findall(r"!\[[^\]]*\]\(([^)]*)\)", re.sub(r"`[^`]*`", "", outside)):
            need(link.startswith("img_"), 230099, "ext=ErrCode: 200570; invalid image key")
    need(tables <= 5, 230099, "ext=ErrCode: 11310; ErrMsg: card table number over limit")


def check_message(body, raw):
    kind, content = body.get("msg_type"), body.get("content")
    need(isinstance(content, str), 230001, "content is no string")
    uuid = body.get("uuid")
    need(uuid is None or (isinstance(uuid, str) and 0 < len(uuid) <= 50), 230001, "bad uuid")
    limit = 150 * 1024 if kind == "text" else 30 * 1024
    need(len(raw) <= limit, 230025, "too long")
    if kind == "interactive":
        check_card(content)
        return
    try:
        value = json.loads(content)
    except ValueError:
        raise Refusal(230001, "content is no JSON")
    if kind == "text":
        need(isinstance(value.get("text"), str) and value["text"], 230001, "no text")
    elif kind == "post":
        need(value and all(isinstance(one, dict) and isinstance(one.get("content"), list) for one in value.values()),
             230001, "a post needs its language")
    elif kind in ("image", "file", "audio", "media"):
        key = value.get("image_key") or value.get("file_key")
        need(key in world.uploads, 230017, "not uploaded by this app")
    else:
        raise Refusal(230001, f"unknown msg_type {kind}")


def store_message(body, chat, api, parent=None):
    uuid = body.get("uuid")
    if uuid and (api, uuid) in world.uuids:
        return world.messages[world.uuids[api, uuid]]
    if world.config["chat_qps"]:
        times = [at for at in world.recent.get(chat, []) if at > time.monotonic() - 1]
        if len(times) >= world.config["chat_qps"]:
            raise Refusal(230020, "too fast in this chat")
        world.recent[chat] = times + [time.monotonic()]
    message = {"message_id": world.id("om_s"), "msg_type": body["msg_type"], "chat_id": chat, "create_time": str(int(time.time() * 1000)),
               "deleted": False, "updated": False, "sender": {"id": APP_ID, "id_type": "app_id", "sender_type": "app"},
               "body": {"content": body["content"]}}
    if parent:
        message["parent_id"] = parent["message_id"]
        message["root_id"] = parent.get("root_id", parent["message_id"])
        if parent.get("thread_id"):
            message["thread_id"] = parent["thread_id"]
    world.messages[message["message_id"]] = message
    if uuid:
        world.uuids[api, uuid] = message["message_id"]
    world.sent.append({"message_id": message["message_id"], "chat_id": chat, "parent": parent["message_id"] if parent else None,
                       "msg_type": body["msg_type"], "content": body["content"], "uuid": uuid})
    return message


def find(message_id):
    message = world.messages.get(message_id)
    need(message is not None, 230001, "no such message")
    if message.get("recalled"):
        raise Refusal(230011, "the message was recalled")
    return message


def api_token(_, body, __, ___):
    need(body.get("app_id") == APP_ID, 10003, "invalid app_id")
    need(body.get("app_secret") == APP_SECRET, 10014, "app secret invalid")
    world.counts["token_calls"] += 1
    token = world.id("t-")
    world.tokens[token] = True
    return {"tenant_access_token": token, "expire": 7200}


def api_endpoint(_, body, __, ___):
    need(body.get("AppID") == APP_ID and body.get("AppSecret") == APP_SECRET, 514, "auth failed")
    ticket = world.id("ticket-")
    world.tickets.add(ticket)
    base = world.config["ws_base"] or f"ws://127.0.0.1:{world.ws_port}"
    url = f"{base}/ws/v2?fpid=1&aid=2&device_id=dev&service_id=33&access_key=k&ticket={ticket}"
    config = {"ReconnectCount": -1, "ReconnectInterval": 1, "ReconnectNonce": 1, "PingInterval": world.config["ping_interval"]}
    return {"data": {"URL": url, "ClientConfig": config}}


def api_bot(*_):
    return {"bot": {"open_id": BOT, "app_name": "PicoBot", "activate_status": 2}}


def api_reply(match, body, _, raw):
    parent = find(match[1])
    check_message_once(body, raw, "reply")
    return {"data": store_message(body, parent["chat_id"], "reply", parent)}


def check_message_once(body, raw, api):
    if body.get("uuid") and (api, body["uuid"]) in world.uuids:
        return
    check_message(body, raw)


def api_send(match, body, query, raw):
    need(query.get("receive_id_type") in ("chat_id", "open_id", "user_id", "union_id", "email"), 230001, "receive_id_type")
    check_message_once(body, raw, "send")
    return {"data": store_message(body, body.get("receive_id"), "send")}


def api_edit(match, body, _, raw):
    message = find(match[1])
    need(message["msg_type"] in ("text", "post"), 230054, "not editable")
    message["edits"] = message.get("edits", 0) + 1
    need(message["edits"] <= 20, 230072, "edited too often")
    check_message(body, raw)
    message["body"]["content"], message["updated"] = body["content"], True
    return {"data": message}


def api_patch(match, body, _, raw):
    message = find(match[1])
    need(message["msg_type"] == "interactive", 230001, "not a card")
    need(len(raw) <= 30 * 1024, 230025, "too long")
    check_card(body.get("content"))
    message["body"]["content"], message["updated"] = body["content"], True
    world.sent.append({"message_id": match[1], "chat_id": message["chat_id"], "patched": True, "content": body["content"],
                       "msg_type": "interactive", "parent": None, "uuid": None})
    return {}


def api_recall(match, *_):
    find(match[1])["recalled"] = True
    return {}


def api_get(match, *_):
    message = find(match[1])
    return {"data": {"items": [message] + [m for m in world.messages.values() if m.get("upper_message_id") == match[1]]}}


def api_react(match, body, *_):
    emoji = body["reaction_type"]["emoji_type"]
    need(emoji in EMOJI, 231001, "unknown emoji")
    message = world.messages.setdefault(match[1], {"message_id": match[1], "chat_id": "?", "msg_type": "text", "body": {"content": "{}"}})
    if message.get("recalled"):
        raise Refusal(231003, "the message was recalled")
    reaction = world.id("r-")
    message.setdefault("reactions", {})[reaction] = emoji
    return {"data": {"reaction_id": reaction, "reaction_type": {"emoji_type": emoji}}}


def api_unreact(match, *_):
    reactions = world.messages.get(match[1], {}).get("reactions", {})
    need(match[2] in reactions, 231007, "not yours")
    emoji = reactions.pop(match[2])
    return {"data": {"reaction_id": match[2], "reaction_type": {"emoji_type": emoji}}}


def api_upload_image(_, form, __, ___):
    need(form.get("image_type") == b"message" and form.get("image"), 234001)
    key = world.id("img_")
    world.uploads[key] = form["image"]
    return {"data": {"image_key": key}}


def api_upload_file(_, form, __, ___):
    need(form.get("file_type") and form.get("file_name"), 234001)
    need(form.get("file"), 234010, "empty file")
    key = world.id("file_")
    world.uploads[key] = form["file"]
    return {"data": {"file_key": key}}


def api_user(match, *_):
    name = world.users.get(match[1])
    need(name is not None, 41050, "no permission for this user")
    return {"data": {"user": {"open_id": match[1], "name": name}}}


def api_card_create(_, body, __, ___):
    need(body.get("type") == "card_json" and isinstance(body.get("data"), str), 10002)
    need(len(body["data"]) <= 30 * 1024, 200860, "too large")
    card = json.loads(body["data"])
    check_card_json(card)
    id = str(7000000000000000000 + len(world.cards))
    world.cards[id] = {"json": card, "sequence": 0, "shown": False, "updates": 0,
                       "streaming": card.get("config", {}).get("streaming_mode", False)}
    return {"data": {"card_id": id}}


def card_op(id, body):
    card = world.cards.get(id)
    need(card is not None, 200740, "no such card")
    sequence = body.get("sequence")
    need(isinstance(sequence, int) and 0 < sequence < 2**31, 10002)
    need(sequence > card["sequence"], 300317, "sequence number compare failed")
    card["sequence"] = sequence
    card["updates"] += 1
    return card


def api_card_content(match, body, *_):
    card = card_op(match[1], body)
    need(card["streaming"], 300309, "streaming mode is closed")
    need(isinstance(body.get("content"), str) and 0 < len(body["content"]) <= 100000, 10002)
    element = next((e for e in card["json"]["body"]["elements"] if e.get("element_id") == match[2]), None)
    need(element is not None, 300313, "no such element")
    element["content"] = body["content"]
    return {}


def api_card_settings(match, body, *_):
    card = card_op(match[1], body)
    need(isinstance(body.get("settings"), str), 10002)
    card["streaming"] = json.loads(body["settings"]).get("config", {}).get("streaming_mode", card["streaming"])
    return {}


def api_card_replace(match, body, *_):
    card = card_op(match[1], body)
    need(body.get("card", {}).get("type") == "card_json" and isinstance(body["card"]["data"], str), 10002)
    need(len(body["card"]["data"].encode()) <= 30 * 1024, 200860, "too large")
    new = json.loads(body["card"]["data"])
    check_card_json(new)
    card["json"], card["streaming"] = new, new.get("config", {}).get("streaming_mode", False)
    return {}


def api_scopes(*_):
    granted = ["im:message.p2p_msg:readonly", "im:message.group_at_msg:readonly", "im:message:send_as_bot", "im:resource"]
    return {"data": {"scopes": [{"scope_name": name, "grant_status": 1} for name in granted]
                     + [{"scope_name": "cardkit:card:write", "grant_status": 2}]}}


def api_app(*_):
    return {"data": {"app": {"app_id": APP_ID, "status": 1,
                             "event": {"subscription_type": "websocket", "subscribed_events": ["im.message.receive_v1"]},
                             "callback": {"callback_type": "websocket", "subscribed_callbacks": []}}}}


M = "/open-apis/im/v1/messages"
ROUTES = [
    ("POST", "/open-apis/auth/v3/tenant_access_token/internal", api_token),
    ("POST", "/callback/ws/endpoint", api_endpoint),
    ("GET", "/open-apis/bot/v3/info", api_bot),
    ("POST", M, api_send),
    ("POST", M + "/([^/]+)/reply", api_reply),
    ("PUT", M + "/([^/]+)", api_edit),
    ("PATCH", M + "/([^/]+)", api_patch),
    ("DELETE", M + "/([^/]+)", api_recall),
    ("GET", M + "/([^/]+)", api_get),
    ("POST", M + "/([^/]+)/reactions", api_react),
    ("DELETE", M + "/([^/]+)/reactions/([^/]+)", api_unreact),
    ("POST", "/open-apis/im/v1/images", api_upload_image),
    ("POST", "/open-apis/im/v1/files", api_upload_file),
    ("GET", "/open-apis/contact/v3/users/([^/]+)", api_user),
    ("POST", "/open-apis/cardkit/v1/cards", api_card_create),
    ("PUT", "/open-apis/cardkit/v1/cards/([^/]+)/elements/([^/]+)/content", api_card_content),
    ("PATCH", "/open-apis/cardkit/v1/cards/([^/]+)/settings", api_card_settings),
    ("PUT", "/open-apis/cardkit/v1/cards/([^/]+)", api_card_replace),
    ("GET", "/open-apis/application/v6/scopes", api_scopes),
    ("GET", "/open-apis/application/v6/applications/([^/]+)", api_app),
]


# What the test asks for.

def add_delivery(event, pieces, raw=None):
    payload = base64.b64decode(raw) if raw else json.dumps(event, ensure_ascii=False).encode()
    delivery = {"payload": payload, "pieces": pieces, "answers": [], "done": False, "due": 0.0, "tries": 0}
    world.waiting.append(delivery)
    message = (event or {}).get("event", {}).get("message", {}) if isinstance(event, dict) else {}
    if isinstance(message, dict) and message.get("message_id"):
        world.messages.setdefault(message["message_id"], {
            "message_id": message["message_id"], "chat_id": message.get("chat_id"), "msg_type": message.get("message_type"),
            "sender": {"id": "someone", "sender_type": "user"}, "body": {"content": message.get("content")},
            **({"thread_id": message["thread_id"]} if message.get("thread_id") else {})})
    return delivery


def control(path, body):
    if path == "event":
        delivery = add_delivery(body.get("event"), body.get("pieces", 1), body.get("raw"))
        world.changed.notify_all()
        if body.get("wait"):
            world.changed.wait_for(lambda: delivery["answers"], body["wait"])
        return {"answers": delivery["answers"], "tries": delivery["tries"]}
    if path == "events":
        for event in body["events"]:
            add_delivery(event, 1)
        world.changed.notify_all()
        return {}
    if path == "drop":
        for link in list(world.links):
            try:
                link.connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        return {"dropped": len(world.links)}
    if path == "silence":
        for link in world.links:
            link.silent = time.monotonic()
        return {"silenced": len(world.links)}
    if path == "config":
        world.config.update(body)
        return {}
    if path == "fault":
        world.faults.append(body)
        return {}
    if path == "expire":
        world.tokens.clear()
        return {}
    if path == "resource":
        world.resources[body["message_id"], body["key"]] = (base64.b64decode(body["data"]), body.get("type", "file"))
        return {}
    if path in ("hold", "let_go"):
        (world.held.add if path == "hold" else world.held.discard)(body["key"])
        world.changed.notify_all()
        return {}
    if path == "big_resource":
        world.resources[body["message_id"], body["key"]] = (bytes(body["size"]), "file")
        return {}
    if path == "user":
        world.users[body["open_id"]] = body["name"]
        return {}
    if path == "message":
        world.messages[body["message_id"]] = body
        return {}
    if path == "wait":
        world.changed.wait_for(lambda: reached(body), body.get("timeout", 20))
        return snapshot(body)
    return snapshot(body)


def reached(body):
    if "sent" in body and len(world.sent) < body["sent"]:
        return False
    if "connects" in body and world.counts["connects"] < body["connects"]:
        return False
    if "links" in body and len(world.links) < body["links"]:
        return False
    if "pings" in body and world.counts["pings"] < body["pings"]:
        return False
    if "acks" in body and world.counts["acks"] < body["acks"]:
        return False
    if body.get("idle") and any(not d["done"] for d in world.waiting):
        return False
    if "call" in body and sum(bool(re.search(body["call"], call)) for call in world.calls) < body.get("times", 1):
        return False
    return True


def snapshot(body):
    ack = sorted(world.ack_ms)
    return {"sent": world.sent[body.get("from", 0):], "n_sent": len(world.sent), "counts": world.counts,
            "calls": world.calls[-2000:] if body.get("calls", True) else [], "links": len(world.links), "ws_port": world.ws_port,
            "open": sum(not d["done"] for d in world.waiting),
            "ack_p50_ms": ack[len(ack) // 2] if ack else None, "ack_p99_ms": ack[int(len(ack) * 0.99)] if ack else None,
            "ack_max_ms": ack[-1] if ack else None, "silent_ms": world.silent_ms,
            "cards": world.cards if body.get("cards", True) else {},
            "messages": {id: world.messages[id] for id in body.get("messages", []) if id in world.messages}}


def parse_form(kind, raw):
    boundary = kind.split("boundary=")[1].strip('"').encode()
    form = {}
    for part in raw.split(b"--" + boundary)[1:-1]:
        head, _, value = part.strip(b"\r\n").partition(b"\r\n\r\n") if not part.endswith(b"\r\n") else part[2:-2].partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if name:
            form[name[1].decode()] = value
    return form


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=None, kind="application/json; charset=utf-8"):
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Tt-Logid", "log-1")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def handle_any(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlparse(self.path)
        query = {key: value[0] for key, value in parse_qs(url.query).items()}
        if url.path.startswith("/control/"):
            with world.lock:
                result = control(url.path[len("/control/"):], json.loads(raw or b"{}"))
                text = json.dumps(result, ensure_ascii=False).encode()
            return self.answer(200, text)
        try:
            with world.lock:
                result = self.api(url.path, query, raw)
                world.changed.notify_all()
                text = result if isinstance(result, bytes) else json.dumps(result, ensure_ascii=False).encode()
            kind = "application/octet-stream" if isinstance(result, bytes) else "application/json; charset=utf-8"
            self.answer(200, text, kind=kind)
        except Refusal as refusal:
            with world.lock:
                world.changed.notify_all()
            self.answer(refusal.status, {"code": refusal.code, "msg": refusal.msg, "error": {"log_id": "log-1"}}, refusal.headers)
        except ConnectionResetError:
            self.close_connection = True

    def api(self, path, query, raw):
        call = f"{self.command} {path}"
        world.calls.append(call)
        world.changed.notify_all()
        for fault in world.faults:
            if "path" in fault and fault["times"] > 0 and re.search(fault["path"], call):
                fault["times"] -= 1
                if fault.get("hold"):
                    # No answer, as from a service that hangs; whoever asks is killed before it gives up.
                    world.changed.wait_for(lambda: False, 100)
                    raise ConnectionResetError
                if fault.get("after"):
                    # It happens, and the answer is lost.
                    self.route(path, query, raw)
                if fault.get("cut"):
                    self.connection.shutdown(socket.SHUT_RDWR)
                    raise ConnectionResetError
                raise Refusal(fault.get("code", 0), fault.get("msg", "fault"), fault.get("status", 400), fault.get("headers"))
        return self.route(path, query, raw)

    def route(self, path, query, raw):
        is_open = path.endswith("/tenant_access_token/internal") or path == "/callback/ws/endpoint"
        if not is_open:
            given = self.headers.get("Authorization", "")
            if not given:
                raise Refusal(99991661, "Missing access token")
            if given.removeprefix("Bearer ") not in world.tokens:
                raise Refusal(99991663, "Invalid access token")
        kind = self.headers.get("Content-Type", "")
        match = re.fullmatch(r"/open-apis/im/v1/messages/([^/]+)/resources/([^/]+)", path)
        if match and self.command == "GET":
            with world.lock:
                world.changed.wait_for(lambda: match[2] not in world.held, 100)
            found = world.resources.get((match[1], match[2]))
            need(found is not None, 234003, "not of this message")
            need(query.get("type") == ("image" if found[1] == "image" else "file"), 234001, "wrong type")
            return found[0]
        body = parse_form(kind, raw) if kind.startswith("multipart/") else json.loads(raw or b"{}")
        for method, pattern, handler in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == self.command:
                return {"code": 0, "msg": "ok", **handler(match, body, query, raw)}
        raise Refusal(404, "no such path", 404)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        """A client that is killed in the middle is what tests are about."""


def main():
    # Answers that have arrived are read while other threads work, or this program would measure itself.
    sys.setswitchinterval(0.0005)
    # Connections that are cut in the middle are what tests are about.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    links = serve(serve_link, "127.0.0.1", 0, process_request=handshake, ping_interval=None)
    world.ws_port = links.socket.getsockname()[1]
    threading.Thread(target=links.serve_forever, daemon=True).start()
    threading.Thread(target=deliver_loop, daemon=True).start()
    server = Server(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    # Ends with its parent: the pipe closes.
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


main()
