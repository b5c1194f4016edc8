package preset

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

func TestSlackWebhookAcceptsOnlyByItsOk(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, c call) {
		switch {
		case c.path != "/services/T/B/X":
			reply(w, 404, "no_service")
		case text(c.json("$.text")) == "" || utf8.RuneCountInString(text(c.json("$.blocks[0].text.text"))) > 150:
			reply(w, 400, "invalid_blocks")
		default:
			reply(w, 200, "ok")
		}
	})
	r := connect(t, s, Options{Preset: "slack", URL: "/services/T/B/X"})
	r.accepted(rules.AlarmFired, func(e *rules.Event) { e.Title = strings.Repeat("<&", 200) })
	r.accepted(rules.AlarmResolved)
	r.accepted(rules.TestPing)
	s.instead(200, "<html>proxy login</html>")
	if reply := r.verdict(webhook.Retry, rules.AlarmFired); !strings.Contains(reply.Err.Error(), "does not say that it was accepted") {
		t.Errorf("error: %v", reply.Err)
	}
	s.instead(429, "", "Retry-After", "7")
	r.waits(7*time.Second, rules.AlarmFired)
	s.instead(400, "invalid_payload")
	r.verdict(webhook.Refused, rules.AlarmFired)
	for _, status := range []int{403, 404, 410} {
		s.instead(status, "channel_is_archived")
		if reply := r.verdict(webhook.Gone, rules.AlarmFired); strings.Contains(reply.Err.Error(), "services") {
			t.Errorf("the error shows the URL: %v", reply.Err)
		}
	}
}

// A message of its own for every alarm, which is changed as the alarm changes,
// and posted anew when somebody has removed it.
func TestSlackBotEditsTheMessageOfItsAlarm(t *testing.T) {
	messages := map[string]string{}
	n := 0
	s := serve(t, func(w http.ResponseWriter, c call) {
		ts, said := text(c.json("$.ts")), text(c.json("$.text"))
		switch {
		case c.header.Get("Authorization") != "Bearer canary-token":
			reply(w, 200, `{"ok":false,"error":"invalid_auth"}`)
		case c.path == "/api/chat.postMessage":
			n++
			ts = fmt.Sprintf("17000.%d", n)
			messages[ts] = said
			reply(w, 200, fmt.Sprintf(`{"ok":true,"channel":"C1","ts":%q,"message":{"text":"x"}}`, ts))
		case c.path == "/api/chat.update" && text(c.json("$.channel")) == "C1" && messages[ts] != "":
			messages[ts] = said
			reply(w, 200, fmt.Sprintf(`{"ok":true,"channel":"C1","ts":%q}`, ts))
		default:
			reply(w, 200, `{"ok":false,"error":"message_not_found"}`)
		}
	})
	r := connect(t, s, Options{Preset: "slack-bot", URL: "/api", With: map[string]Value{"token": Hidden("canary-token"), "channel": Plain("ops")}})
	r.accepted(rules.AlarmFired)
	r.accepted(rules.AlarmAcked)
	if len(messages) != 1 || !strings.HasPrefix(messages["17000.1"], "Acknowledged: ") {
		t.Errorf("messages: %v", messages)
	}
	delete(messages, "17000.1")
	r.accepted(rules.AlarmResolved)
	if len(messages) != 1 || !strings.HasPrefix(messages["17000.2"], "Resolved: ") {
		t.Errorf("messages after one was removed: %v", messages)
	}
	r.accepted(rules.AlarmFired, func(e *rules.Event) { e.Alarm.Episode = "ep_ANOTHER" })
	if len(messages) != 2 {
		t.Errorf("another episode has no message of its own: %v", messages)
	}
	r.accepted(rules.DeviceOffline)
	for answer, want := range map[string]webhook.Verdict{
		`{"ok":false,"error":"ratelimited"}`: webhook.Retry, `{"ok":false,"error":"invalid_blocks"}`: webhook.Refused,
		`{"ok":false,"error":"not_in_channel"}`: webhook.Retry, `{"ok":false,"error":"who_knows"}`: webhook.Retry,
	} {
		s.instead(200, answer)
		r.verdict(want, rules.DeviceOffline)
	}
}

func TestDiscordEditsTheMessageOfItsAlarmAndPingsNobody(t *testing.T) {
	messages := map[string]string{}
	s := serve(t, func(w http.ResponseWriter, c call) {
		const hook = "/api/webhooks/1/canary"
		parse, _ := c.json("$.allowed_mentions.parse").([]any)
		title := text(c.json("$.embeds[0].title"))
		_, noTime := time.Parse(time.RFC3339, text(c.json("$.embeds[0].timestamp")))
		id, edits := strings.CutPrefix(c.path, hook+"/messages/")
		switch {
		case !strings.HasPrefix(c.path, hook):
			reply(w, 404, `{"message":"Unknown Webhook","code":10015}`)
		case parse == nil || utf8.RuneCountInString(title) > 256 || title == "" || noTime != nil:
			reply(w, 400, `{"embeds":["0"]}`)
		case edits && c.method == http.MethodPatch && messages[id] != "":
			messages[id] = title
			reply(w, 200, fmt.Sprintf(`{"id":%q}`, id))
		case edits:
			reply(w, 404, `{"message":"Unknown Message","code":10008}`)
		case c.method == http.MethodPost && c.query.Get("wait") == "true":
			id = strconv.Itoa(1 + len(messages))
			messages[id] = title
			reply(w, 200, fmt.Sprintf(`{"id":%q,"channel_id":"9"}`, id))
		default:
			w.WriteHeader(204) // not saved, perhaps
		}
	})
	r := connect(t, s, Options{Preset: "discord", URL: "/api/webhooks/1/canary", Link: "https://tocsin.example.com/a-list_of/alarms"})
	r.accepted(rules.AlarmFired, func(e *rules.Event) { e.Device.ID, e.Title = "cold-room_(7)", "**now**" })
	same(t, "title", s.last().json("$.embeds[0].title"), `🟠 Major\: \*\*now\*\*`)
	same(t, "footer, which is plain text", s.last().json("$.embeds[0].footer.text"), "alarm.fired | cold-room_(7) | freezer-warm")
	if link := text(s.last().json("$.embeds[0].url")); !strings.HasPrefix(link, "https://tocsin.example.com/a-list_of/alarms/") {
		t.Errorf("link: %s", link)
	}
	r.accepted(rules.AlarmResolved)
	if len(messages) != 1 || !strings.HasPrefix(messages["1"], "✅") {
		t.Errorf("messages: %v", messages)
	}
	messages = map[string]string{"gone": ""}
	r.accepted(rules.AlarmCancelled)
	if len(messages) != 2 {
		t.Errorf("messages after one was removed: %v", messages)
	}
	s.instead(429, `{"message":"You are being rate limited.","retry_after":64.57,"global":false}`, "X-RateLimit-Reset-After", "64.57")
	r.waits(64*time.Second, rules.DeviceOffline)
	for _, status := range []int{401, 403, 404} {
		s.instead(status, `{"message":"Unknown Webhook","code":10015}`)
		r.verdict(webhook.Gone, rules.DeviceOffline)
	}
	s.instead(404, `{"message":"Unknown Webhook","code":10015}`)
	r.verdict(webhook.Gone, rules.AlarmFired) // of an edit too
}

func TestTeamsCardIsAnAdaptiveCard(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, c call) {
		body, _ := c.json("$.attachments[0].content.body").([]any)
		if len(c.body) > 28_000 || text(c.json("$.attachments[0].contentType")) != "application/vnd.microsoft.card.adaptive" || len(body) < 2 {
			reply(w, 400, `{"error":{"code":"InvalidRequestContent"}}`)
			return
		}
		w.WriteHeader(202)
	})
	r := connect(t, s, Options{Preset: "teams", URL: "/workflows/x?sig=canary", Link: "https://tocsin.example.com/alarms"})
	r.accepted(rules.AlarmFired)
	same(t, "query", s.last().query.Get("sig"), "canary")
	same(t, "color", s.last().json("$.attachments[0].content.body[0].color"), "Attention")
	r.accepted(rules.AlarmResolved)
	same(t, "color", s.last().json("$.attachments[0].content.body[0].color"), "Good")
	r.accepted(rules.TestPing)
	s.instead(200, "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId x")
	r.verdict(webhook.Retry, rules.AlarmFired)
	s.instead(200, "1")
	r.verdict(webhook.Accepted, rules.AlarmFired)
	s.instead(413, "")
	r.verdict(webhook.Refused, rules.AlarmFired)
	reply := r.tell(rules.AlarmFired, func(e *rules.Event) { e.Because = strings.Repeat("å", 100_000) })
	if reply.Verdict != webhook.Accepted {
		t.Errorf("a long text: %v", reply.Err)
	}
}

func TestTelegramEditsTheMessageOfItsAlarm(t *testing.T) {
	messages := map[string]string{}
	s := serve(t, func(w http.ResponseWriter, c call) {
		said, id := text(c.json("$.text")), text(c.json("$.message_id"))
		switch {
		case !strings.HasPrefix(c.path, "/bot123:canary/"):
			reply(w, 401, `{"ok":false,"error_code":401,"description":"Unauthorized"}`)
		case text(c.json("$.chat_id")) == "-100":
			reply(w, 400, `{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1001234567890123}}`)
		case text(c.json("$.chat_id")) != "-1001234567890123" || said == "" || text(c.json("$.parse_mode")) != "HTML":
			reply(w, 400, `{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}`)
		case strings.HasSuffix(c.path, "/sendMessage"):
			id = strconv.Itoa(42 + len(messages))
			messages[id] = said
			reply(w, 200, `{"ok":true,"result":{"message_id":`+id+`,"chat":{"id":-1001234567890123}}}`)
		case messages[id] == said:
			reply(w, 400, `{"ok":false,"error_code":400,"description":"Bad Request: message is not modified: specified new message content"}`)
		case messages[id] == "":
			reply(w, 400, `{"ok":false,"error_code":400,"description":"Bad Request: message to edit not found"}`)
		default:
			messages[id] = said
			reply(w, 200, `{"ok":true,"result":{"message_id":`+id+`}}`)
		}
	})
	r := connect(t, s, Options{Preset: "telegram", With: map[string]Value{"token": Hidden("123:canary"), "chat_id": Plain(int64(-100))}})
	r.verdict(webhook.Retry, rules.AlarmFired) // the chat has moved
	r.accepted(rules.AlarmFired)
	r.accepted(rules.AlarmAcked)
	r.accepted(rules.AlarmAcked) // the answer was lost: it says so already
	r.accepted(rules.AlarmResolved)
	if len(messages) != 1 || !strings.HasPrefix(messages["42"], "✅ <b>Resolved: freezer-07") {
		t.Errorf("messages: %v", messages)
	}
	messages = map[string]string{}
	r.verdict(webhook.Retry, rules.AlarmCancelled) // everything is forgotten, and the chat's id learnt again
	r.accepted(rules.AlarmCancelled)
	if len(messages) != 1 {
		t.Errorf("messages after one was removed: %v", messages)
	}
	s.instead(429, `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 35","parameters":{"retry_after":35}}`)
	r.waits(35*time.Second, rules.AlarmCancelled)
	s.instead(403, `{"ok":false,"error_code":403,"description":"Forbidden: bot was kicked from the group chat"}`)
	if reply := r.verdict(webhook.Gone, rules.AlarmCancelled); strings.Contains(reply.Err.Error(), "canary") {
		t.Errorf("the error shows the token: %v", reply.Err)
	}
}

func TestNtfyMessageIsJSONToTheRoot(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, c call) {
		switch {
		case c.path != "/" || text(c.json("$.topic")) != "store12":
			reply(w, 404, `{"code":40401}`)
		case c.header.Get("Authorization") != "Bearer tk_canary":
			reply(w, 403, `{"code":40301,"http":403,"error":"forbidden"}`)
		default:
			reply(w, 200, `{"id":"x","event":"message"}`)
		}
	})
	r := connect(t, s, Options{Preset: "ntfy", URL: "/", With: map[string]Value{"topic": Plain("store12"), "token": Hidden("tk_canary")}})
	r.accepted(rules.AlarmFired, escalate(rules.Critical))
	same(t, "priority", s.last().json("$.priority"), 5)
	r.accepted(rules.AlarmResolved)
	same(t, "priority", s.last().json("$.priority"), 2)
	same(t, "tag", s.last().json("$.tags[0]"), "white_check_mark")
	s.instead(413, "{}")
	r.verdict(webhook.Refused, rules.AlarmFired)

	open := connect(t, s, Options{Preset: "ntfy", URL: "/", With: map[string]Value{"topic": Plain("store12")}})
	open.verdict(webhook.Retry, rules.AlarmFired)
	if _, sent := s.last().header["Authorization"]; sent {
		t.Error("without a token there is a credential")
	}
}

func TestPushoverEmergencyEndsWithItsAlarm(t *testing.T) {
	receipts, made := map[string]bool{}, 0
	s := serve(t, func(w http.ResponseWriter, c call) {
		priority, _ := strconv.Atoi(c.form("priority"))
		retry, _ := strconv.Atoi(c.form("retry"))
		expire, _ := strconv.Atoi(c.form("expire"))
		receipt, cancels := strings.CutPrefix(c.path, "/1/receipts/")
		switch {
		case c.form("token") != "canary-token" || c.query.Get("token") != "":
			reply(w, 400, `{"token":"invalid","errors":["application token is invalid"],"status":0}`)
		case cancels:
			receipt, _ = strings.CutSuffix(receipt, "/cancel.json")
			if !receipts[receipt] {
				reply(w, 404, `{"receipt":"not found","errors":["receipt not found"],"status":0}`)
				return
			}
			delete(receipts, receipt)
			reply(w, 200, `{"status":1,"request":"r"}`)
		case c.path != "/1/messages.json" || c.form("user") != "canary-user" || c.form("message") == "" || priority == 2 && (retry < 30 || expire > 10800 || expire == 0):
			reply(w, 400, `{"errors":["x"],"status":0}`)
		case priority == 2:
			made++
			receipts[fmt.Sprint("rec", made)] = true
			reply(w, 200, fmt.Sprintf(`{"status":1,"request":"r","receipt":"rec%d"}`, made))
		default:
			if strings.Contains(string(c.body), "retry=") {
				reply(w, 400, `{"errors":["retry"],"status":0}`)
				return
			}
			reply(w, 200, `{"status":1,"request":"r"}`)
		}
	})
	r := connect(t, s, Options{Preset: "pushover", URL: "/1", With: map[string]Value{"token": Hidden("canary-token"), "user": Hidden("canary-user")}})
	r.accepted(rules.AlarmFired, escalate(rules.Critical))
	if !receipts["rec1"] {
		t.Fatal("it is no emergency")
	}
	r.accepted(rules.AlarmAcked)
	if len(receipts) != 0 {
		t.Error("it goes on after somebody has taken it")
	}
	r.accepted(rules.AlarmFired, escalate(rules.Critical))
	r.accepted(rules.AlarmReminder, escalate(rules.Critical))
	r.accepted(rules.AlarmResolved)
	if len(receipts) != 0 {
		t.Errorf("a reminder's or what it reminds of goes on after the end: %v", receipts)
	}
	r.accepted(rules.AlarmResolved)
	r.accepted(rules.AlarmFired)
	r.accepted(rules.AlarmResolved)

	s.instead(429, `{"status":0}`, "X-Limit-App-Reset", strconv.FormatInt(time.Now().Add(2*time.Hour).Unix(), 10))
	r.waits(2*time.Hour, rules.AlarmFired)
	s.instead(500, ``)
	r.waits(5*time.Second, rules.AlarmFired)
	s.instead(200, `{"status":0,"errors":["x"]}`)
	r.verdict(webhook.Retry, rules.AlarmFired)
}

func TestTwilioMessageIsNotSaidThreeTimes(t *testing.T) {
	sent := 0
	handle := func(w http.ResponseWriter, c call) {
		credential, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.header.Get("Authorization"), "Basic "))
		switch {
		case string(credential) != "AC1:canary-token":
			reply(w, 401, `{"code":20003,"message":"Authenticate","status":401}`)
		case c.path != "/2010-04-01/Accounts/AC1/Messages.json" || c.form("To") != "+4915100000" || c.form("From") != "+4917200000":
			reply(w, 400, `{"code":21211,"message":"Invalid 'To' Phone Number","status":400}`)
		default:
			sent++
			reply(w, 201, `{"sid":"SM1","status":"queued"}`)
		}
	}
	s := serve(t, handle)
	r := connect(t, s, Options{Preset: "twilio", With: map[string]Value{
		"account": Plain("AC1"), "token": Hidden("canary-token"), "to": Plain("+4915100000"), "from": Plain("+4917200000"),
	}})
	r.accepted(rules.AlarmFired)
	same(t, "text", s.last().form("Body"), "Major: freezer-07 at -11.2 °C, limit -12 °C")
	r.accepted(rules.AlarmResolved) // which costs, and is not asked for
	if sent != 1 {
		t.Errorf("%d messages were sent", sent)
	}
	s.instead(429, `{"code":20429,"message":"Too many requests"}`)
	r.verdict(webhook.Retry, rules.AlarmFired)
	s.instead(400, `{"code":21610,"message":"unsubscribed"}`)
	r.verdict(webhook.Refused, rules.AlarmFired)

	n := Sample(rules.AlarmFired)
	for n.Attempt = range 2 {
		s.lost(handle)
		reply := r.Send(t.Context(), r.send, []Notice{n})
		if want := []webhook.Verdict{webhook.Retry, webhook.Refused}[n.Attempt]; reply.Verdict != want {
			t.Errorf("attempt %d without an answer: %s (%v), expected %s", n.Attempt+1, reply.Verdict, reply.Err, want)
		}
	}
}
