// Whatever the content security policy stops, and whatever it would have stopped had it been looser, is an error on the console.
if (!location.pathname.startsWith("/docs/")) {
  document.addEventListener("securitypolicyviolation", (event) => {
    console.error(`The policy stopped ${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
  });
  document.addEventListener("DOMContentLoaded", () => {
    const inline = [...document.querySelectorAll("*")].filter((each) =>
      each.matches("style, script:not([src]), [style]") || each.getAttributeNames().some((name) => name.startsWith("on")));
    for (const each of inline) console.error(`Inline: ${each.outerHTML.slice(0, 200)}`);
  });
}
