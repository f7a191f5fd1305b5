"""Usage: drive_feishu.py BASE_URL [CA_FILE]. Drives the scripted Feishu service with the official SDK, over TLS if a
certificate to trust is given; says what does not fit."""

import json
import os
import sys
import tempfile
import threading
import urllib.request

if len(sys.argv) > 2:
    os.environ["SSL_CERT_FILE"] = os.environ["REQUESTS_CA_BUNDLE"] = sys.argv[2]

import lark_oapi as lark
from lark_oapi.api.application.v6 import GetApplicationRequest, ListScopeRequest
from lark_oapi.api.cardkit.v1 import *
from lark_oapi.api.contact.v3 import GetUserRequest
from lark_oapi.api.im.v1 import *
from lark_oapi.event.callback.model.p2_card_action_trigger import P2CardActionTriggerResponse

BASE = sys.argv[1]
APP_ID, APP_SECRET = "cli_0123456789abcdef", "right-secret"


def control(path, **body):
    request = urllib.request.Request(f"{BASE}/control/{path}", json.dumps(body).encode())
    return json.load(urllib.request.urlopen(request, timeout=60))


def event(kind, inner):
    return {"schema": "2.0", "header": {"event_id": "e1", "event_type": kind, "create_time": "1", "token": "", "app_id": APP_ID,
                                        "tenant_key": "t"}, "event": inner}


def message(id, text):
    return event("im.message.receive_v1", {
        "sender": {"sender_id": {"open_id": "ou_1"}, "sender_type": "user", "tenant_key": "t"},
        "message": {"message_id": id, "create_time": "1", "chat_id": "oc_1", "chat_type": "p2p", "message_type": "text",
                    "content": json.dumps({"text": text})}})


received = []
arrived = threading.Condition()


def on_message(data):
    with arrived:
        received.append(data.event.message)
        arrived.notify_all()


def on_action(data):
    return P2CardActionTriggerResponse({"toast": {"type": "info", "content": f"got {data.event.action.value['n']}"}})


handler = (lark.EventDispatcherHandler.builder("", "")
           .register_p2_im_message_receive_v1(on_message)
           .register_p2_card_action_trigger(on_action).build())
link = lark.ws.Client(APP_ID, APP_SECRET, event_handler=handler, domain=BASE, log_level=lark.LogLevel.ERROR)
threading.Thread(target=link.start, daemon=True).start()
assert control("wait", connects=1, pings=1)["counts"]["pings"] >= 1, "the SDK did not connect and ping"

# Whole and in pieces, each answered 200 with its headers echoed.
for pieces, text in ((1, "whole"), (4, "in Stücken 好的 " * 20)):
    answer = control("event", event=message(f"om_{pieces}", text), pieces=pieces, wait=20)
    assert [one["code"] for one in answer["answers"]] == [200], answer
with arrived:
    assert arrived.wait_for(lambda: len(received) == 2, 20)
assert [json.loads(one.content)["text"][:5] for one in received] == ["whole", "in St"], received
answer = control("event", event=event("card.action.trigger", {
    "operator": {"open_id": "ou_1"}, "token": "c-1", "action": {"value": {"n": "7"}, "tag": "button"},
    "context": {"open_message_id": "om_1", "open_chat_id": "oc_1"}}), wait=20)
import base64
assert json.loads(base64.b64decode(answer["answers"][0]["data"]))["toast"]["content"] == "got 7", answer
assert control("log")["counts"]["bad_frames"] == 0

client = lark.Client.builder().app_id(APP_ID).app_secret(APP_SECRET).domain(BASE).log_level(lark.LogLevel.ERROR).build()


def ok(response, what):
    assert response.success(), f"{what}: {response.code} {response.msg}"
    return getattr(response, "data", None)


def refused(response, code):
    assert response.code == code, f"expected {code}, got {response.code} {response.msg}"


messages = client.im.v1.message


def send(kind, content, uuid=None):
    body = CreateMessageRequestBody.builder().receive_id("oc_1").msg_type(kind).content(content)
    body = body.uuid(uuid) if uuid else body
    return messages.create(CreateMessageRequest.builder().receive_id_type("chat_id").request_body(body.build()).build())


sent = ok(send("text", json.dumps({"text": "hi"}), "u1"), "send")
assert ok(send("text", json.dumps({"text": "hi"}), "u1"), "send again").message_id == sent.message_id
refused(send("post", json.dumps({"title": "", "content": []})), 230001)
reply = ok(messages.reply(ReplyMessageRequest.builder().message_id("om_1").request_body(
    ReplyMessageRequestBody.builder().msg_type("text").content(json.dumps({"text": "re"})).build()).build()), "reply")
assert reply.parent_id == "om_1" and reply.chat_id == "oc_1", reply
ok(messages.update(UpdateMessageRequest.builder().message_id(sent.message_id).request_body(
    UpdateMessageRequestBody.builder().msg_type("text").content(json.dumps({"text": "edited"})).build()).build()), "edit")
got = ok(messages.get(GetMessageRequest.builder().message_id(sent.message_id).build()), "get")
assert json.loads(got.items[0].body.content)["text"] == "edited", got.items[0]

card = {"schema": "2.0", "config": {"update_multi": True}, "body": {"elements": [{"tag": "markdown", "content": "x"}]}}
shown = ok(send("interactive", json.dumps(card)), "card")
ok(messages.patch(PatchMessageRequest.builder().message_id(shown.message_id).request_body(
    PatchMessageRequestBody.builder().content(json.dumps(card)).build()).build()), "patch")
many = dict(card, body={"elements": [{"tag": "markdown", "content": "| a |\n|---|\n| 1 |\n\n" * 6}]})
refused(send("interactive", json.dumps(many)), 230099)

reaction = ok(client.im.v1.message_reaction.create(CreateMessageReactionRequest.builder().message_id("om_1").request_body(
    CreateMessageReactionRequestBody.builder().reaction_type(Emoji.builder().emoji_type("OnIt").build()).build()).build()), "react")
ok(client.im.v1.message_reaction.delete(DeleteMessageReactionRequest.builder().message_id("om_1")
                                        .reaction_id(reaction.reaction_id).build()), "unreact")

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "图.png")
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n--data\r\n")
    with open(path, "rb") as file:
        image = ok(client.im.v1.image.create(CreateImageRequest.builder().request_body(
            CreateImageRequestBody.builder().image_type("message").image(file).build()).build()), "upload image")
    with open(path, "rb") as file:
        upload = ok(client.im.v1.file.create(CreateFileRequest.builder().request_body(
            CreateFileRequestBody.builder().file_type("stream").file_name("图.png").file(file).build()).build()), "upload file")
ok(send("image", json.dumps({"image_key": image.image_key})), "send image")
ok(send("file", json.dumps({"file_key": upload.file_key})), "send file")
control("resource", message_id="om_1", key="file_x", data=base64.b64encode(b"content").decode())
download = messages and client.im.v1.message_resource.get(
    GetMessageResourceRequest.builder().message_id("om_1").file_key("file_x").type("file").build())
assert download.success() and download.file.read() == b"content", download.msg

control("resource", message_id="om_1", key="img_x", type="image", data=base64.b64encode(b"pixels").decode())
download = client.im.v1.message_resource.get(
    GetMessageResourceRequest.builder().message_id("om_1").file_key("img_x").type("image").build())
assert download.success() and download.file.read() == b"pixels", download.msg
refused(client.im.v1.message_resource.get(
    GetMessageResourceRequest.builder().message_id("om_1").file_key("img_x").type("file").build()), 234001)

# Who the bot is: the SDK has no type for it, only the way.
info = client.request(lark.BaseRequest.builder().http_method(lark.HttpMethod.GET).uri("/open-apis/bot/v3/info")
                      .token_types({lark.AccessTokenType.TENANT}).build())
assert json.loads(info.raw.content)["bot"]["open_id"] == "ou_bot", info.raw.content

# A forwarded conversation comes with its children, a message that was taken back not at all.
control("message", message_id="om_f", msg_type="merge_forward", chat_id="oc_1", body={"content": "Merged and Forwarded Message"})
control("message", message_id="om_c", msg_type="text", chat_id="oc_1", upper_message_id="om_f", body={"content": "{}"})
items = ok(messages.get(GetMessageRequest.builder().message_id("om_f").build()), "get forwarded").items
assert [one.message_id for one in items] == ["om_f", "om_c"] and items[1].upper_message_id == "om_f", items
ok(messages.delete(DeleteMessageRequest.builder().message_id(shown.message_id).build()), "recall")
refused(messages.reply(ReplyMessageRequest.builder().message_id(shown.message_id).request_body(
    ReplyMessageRequestBody.builder().msg_type("text").content(json.dumps({"text": "re"})).build()).build()), 230011)

# What `picobot feishu check` asks.
scopes = ok(client.application.v6.scope.list(ListScopeRequest.builder().build()), "scopes").scopes
assert {one.scope_name: one.grant_status for one in scopes}["im:resource"] == 1, scopes
app = ok(client.application.v6.application.get(GetApplicationRequest.builder().app_id(APP_ID).lang("zh_cn").build()), "app").app
assert app.app_id == APP_ID and app.event.subscribed_events == ["im.message.receive_v1"], app

control("user", open_id="ou_1", name="张三")
user = ok(client.contact.v3.user.get(GetUserRequest.builder().user_id("ou_1").user_id_type("open_id").build()), "user")
assert user.user.name == "张三"

streaming = {"schema": "2.0", "config": {"streaming_mode": True, "update_multi": True},
             "body": {"elements": [{"tag": "markdown", "element_id": "answer", "content": "…"}]}}
entity = ok(client.cardkit.v1.card.create(CreateCardRequest.builder().request_body(
    CreateCardRequestBody.builder().type("card_json").data(json.dumps(streaming)).build()).build()), "create card").card_id
ok(send("interactive", json.dumps({"type": "card", "data": {"card_id": entity}})), "show card")


def stream(sequence):
    return client.cardkit.v1.card_element.content(ContentCardElementRequest.builder().card_id(entity).element_id("answer").request_body(
        ContentCardElementRequestBody.builder().content("so far").sequence(sequence).build()).build())


ok(stream(5), "stream")
refused(stream(5), 300317)
ok(client.cardkit.v1.card.settings(SettingsCardRequest.builder().card_id(entity).request_body(
    SettingsCardRequestBody.builder().settings(json.dumps({"config": {"streaming_mode": False}})).sequence(6).build()).build()), "settings")
refused(stream(7), 300309)
ok(client.cardkit.v1.card.update(UpdateCardRequest.builder().card_id(entity).request_body(
    UpdateCardRequestBody.builder().card(Card.builder().type("card_json").data(json.dumps(card)).build()).sequence(8).build()).build()), "update")

# A closed connection and an expired token are nothing the SDK cannot get over.
control("drop")
assert control("wait", connects=2)["counts"]["connects"] >= 2, "the SDK did not connect again"
print("the official SDK can do everything with the scripted service")
