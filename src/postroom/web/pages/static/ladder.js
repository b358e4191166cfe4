// The live check: the form is sent as it stands, and each step is shown as the server tells it (server-sent events over
// fetch, because EventSource can't post). Steps come as the page itself would show them. Without this script the same
// buttons bring the page back with the finished ladder.

const form = document.getElementById("settings");
const ladder = document.getElementById("ladder");
const said = document.getElementById("check-said");
let climbing = null;

function tell(words, tone = "") {
  said.textContent = words;
  said.className = `note ${tone}`;
  said.hidden = false;
}

function mark(name, words) {
  const field = form.elements[name];
  if (!field) return false;
  field.setAttribute("aria-invalid", "true");
  const id = `${name}-said`;
  const below = document.getElementById(id) ?? document.createElement("p");
  below.id = id;
  below.className = "wrong";
  below.textContent = words;
  if (!below.isConnected) field.after(below);
  field.setAttribute("aria-describedby", id);
  field.closest("details")?.setAttribute("open", "");
  form.dispatchEvent(new Event("input"));
  field.focus();
  return true;
}

function unmark(field) {
  if (!field.matches("[aria-invalid]")) return;
  field.removeAttribute("aria-invalid");
  document.getElementById(`${field.name}-said`)?.classList.replace("wrong", "hint");
}

const heard = {
  step(step) {
    ladder.insertAdjacentHTML("beforeend", step.html);
    ladder.lastElementChild.scrollIntoView({ block: "nearest" });
  },
  wrong(problem) {
    tell(problem.message, "bad");
    mark(problem.field, problem.message);
  },
  done(end) {
    tell(end.words, end.ok ? "good" : "bad");
  },
};

// https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream, as far as our server uses it.
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const each of whole) {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(each) ?? [];
      if (name) yield [name, JSON.parse(data)];
    }
  }
}

async function climb(button) {
  climbing?.abort();
  const mine = climbing = new AbortController();
  const sent = new URLSearchParams(new FormData(form));
  if (button.name) sent.set(button.name, button.value);
  for (const field of form.elements) unmark(field);
  ladder.replaceChildren();
  ladder.setAttribute("aria-busy", "true");
  tell("Checking …", "working");
  let ended = false;
  try {
    const answer = await fetch(button.formAction, {
      method: "POST", body: sent, signal: mine.signal, headers: { accept: "text/event-stream" },
    });
    if (!answer.headers.get("content-type")?.startsWith("text/event-stream")) {
      return tell("The check could not begin. Load the page again: the session may have ended.", "bad");
    }
    for await (const [name, data] of events(answer.body)) {
      heard[name]?.(data);
      ended ||= name !== "step";
    }
    if (!ended) tell("The check was cut short. Check again.", "bad");
  } catch (error) {
    if (!mine.signal.aborted) tell("The server can't be reached. Check again.", "bad");
  } finally {
    if (climbing === mine) ladder.removeAttribute("aria-busy");
  }
}

// A proposed change goes into the form; what has to be entered with it is marked. Nothing is saved.
function use(button) {
  const { changes, needs } = JSON.parse(button.value);
  for (const [name, value] of Object.entries(changes)) {
    const field = form.elements[name];
    if (!field) continue;
    field.value = value === true ? "yes" : value === false ? "no" : value ?? "";
    field.closest("details")?.setAttribute("open", "");
    field.classList.add("filled-in");
  }
  form.dispatchEvent(new Event("input"));
  tell("Filled in, not saved yet. Check again, then save.", "warn");
  for (const name of [...needs].reverse()) mark(name, "Enter this, too: it goes with the change.");
  if (!needs.length) document.getElementById("check-button").focus();
}

if (form && ladder) {
  // Return in the recipient's field means the check that it stands beside; as a field of the form it would mean "save".
  document.getElementById("recipient").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    document.getElementById("check-button").click();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-climb], [data-use]");
    if (!button) return;
    event.preventDefault();
    if (button.matches("[data-use]")) use(button);
    else climb(button);
  });
}
