// Long forms, by data attributes. Without it every field is there all the time.

// <form data-bound="host port …">: a secret is bound to these. Whoever changes one of them is told at the secret, before
// the server has to say it.
const wasIn = (field) => field.tagName === "SELECT"
  ? (field.querySelector("option[selected]") ?? field.options[0]).value
  : field.defaultValue;

function remind(form) {
  const moved = form.dataset.bound.split(" ").some((name) => {
    const field = form.elements[name];
    return field && field.value.trim() !== wasIn(field).trim();
  });
  for (const reminder of form.querySelectorAll("[data-again]")) reminder.hidden = !moved;
}

// <div data-when="auth" data-is="password ntlm">: shown while the field "auth" is one of these; and always while something
// in it is wrong or filled in, so that nothing is sent unseen.
function reveal(form) {
  for (const part of form.querySelectorAll("[data-when]")) {
    const fits = part.dataset.is.split(" ").includes(form.elements[part.dataset.when].value);
    const fields = [part, ...part.querySelectorAll("input")].filter((field) => field.matches("input"));
    const kept = fields.some((field) => field.matches("[aria-invalid], :checked") || field.type !== "checkbox" && field.value);
    const shown = part.matches("input") ? part.closest(".field") : part;
    shown.hidden = !fits && !kept;
  }
}

for (const form of document.querySelectorAll("form[data-bound]")) {
  const look = () => { remind(form); reveal(form); };
  form.addEventListener("input", look);
  form.addEventListener("reset", () => setTimeout(look));
  look();
}
