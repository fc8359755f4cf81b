// A request as a curl command. Secrets are masked on the page; the command takes them from the
// shell's variables.

const SECRETS = {
  authorization: '"authorization: Bearer $PAYROC_TOKEN"',
  "x-api-key": '"x-api-key: $PAYROC_API_KEY"',
};

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** The command that sends this request again. */
export function curlCommand(request, origin) {
  const path = request.path.split("/").map(encodeURIComponent).join("/");
  const url = origin + path + (request.query && `?${request.query}`);
  const parts = [`curl -g -X ${request.method} ${quoted(url)}`];
  const headers = Object.entries(request.headers);
  for (const [name, its] of headers) parts.push(`-H ${SECRETS[name] ?? quoted(`${name}: ${its}`)}`);
  if (request.body) {
    // Without this, curl declares a form.
    if (!("content-type" in request.headers)) parts.push("-H 'content-type:'");
    parts.push(`--data-raw ${quoted(request.body)}`);
  }
  return parts.join(" \\\n  ");
}

/** Puts a text on the clipboard; returns whether that worked. */
export async function copy(text) {
  // Browsers offer this on HTTPS and loopback only; the page may be open on a phone.
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not permitted: try the older API.
    }
  }
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "unseen";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return done;
}
