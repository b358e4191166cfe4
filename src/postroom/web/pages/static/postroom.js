// The console's small helpers. Every page works without them but for what lives (the check, new mail): what they need
// stands in data attributes, and nothing here knows a page.

// On a phone the places stand in one line, which may be longer than the screen: the current one is to be seen.
document.querySelector("nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

// <button data-copy="#id">: the text of another element goes to the clipboard.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent.trim());
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 2000);
});

// <a data-slow>, <button data-slow>: what takes a while says so from the click on.
document.addEventListener("click", (event) => event.target.closest("[data-slow]")?.classList.add("working"));
addEventListener("pageshow", () => document.querySelectorAll("[data-slow]").forEach((each) => each.classList.remove("working")));

// <form data-confirm="Delete it?">: asks before it is sent, in a dialog that keyboard and screen reader know.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.confirm || form.dataset.confirmed) return;
  event.preventDefault();
  const dialog = document.createElement("dialog");
  const question = document.createElement("p");
  question.textContent = form.dataset.confirm;
  const choices = document.createElement("form");
  choices.method = "dialog";
  choices.className = "actions";
  const yes = document.createElement("button");
  yes.value = "yes";
  yes.className = "danger";
  yes.textContent = event.submitter?.textContent.trim() || "Yes";
  const no = document.createElement("button");
  no.value = "no";
  no.className = "plain";
  no.textContent = "No, leave it";
  choices.append(no, yes);
  dialog.append(question, choices);
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "yes") {
      form.dataset.confirmed = "yes";
      form.requestSubmit(event.submitter);
    }
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
});

// <section id="x" data-live="/live/…">: server-sent events; each says that the page has changed, and the section is taken
// from the page anew, but not from under the hands of somebody who is in it. The stream ends with the session.
const spoken = document.createElement("p");
spoken.className = "only-read";
spoken.setAttribute("role", "status");

function follow(section) {
  const events = new EventSource(section.dataset.live);
  let isStale = false;

  function end() {
    if (!section.dataset.live) return;
    delete section.dataset.live;
    events.close();
    const note = document.createElement("p");
    note.className = "note warn";
    note.setAttribute("role", "status");
    note.textContent = "This page no longer shows what happens: the session has ended. Load it again to sign in.";
    section.before(note);
  }

  async function refresh() {
    isStale = section.contains(document.activeElement);
    if (isStale) return;
    const answer = await fetch(location.href);
    if (!answer.ok || answer.redirected) return end();
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById(section.id);
    if (!fresh) return;
    for (const open of section.querySelectorAll("details[id][open]")) fresh.querySelector(`#${open.id}`)?.setAttribute("open", "");
    section.replaceChildren(...fresh.childNodes);
    spoken.textContent = "Updated.";
    setTimeout(() => { spoken.textContent = ""; }, 2000);
  }

  events.addEventListener("changed", refresh);
  events.addEventListener("end", end);
  events.addEventListener("error", () => { if (events.readyState === EventSource.CLOSED) end(); });
  section.addEventListener("focusout", () => setTimeout(() => { if (isStale) refresh(); }));
  addEventListener("pagehide", () => events.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

const lively = document.querySelectorAll("[data-live]");
if (lively.length) document.body.append(spoken);
lively.forEach(follow);
