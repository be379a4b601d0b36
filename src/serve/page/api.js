/* api.js - asks this server, and puts what goes wrong in words.
 *
 * Addresses are relative, so that the page also works behind a proxy that serves it under a path.
 * An answer is read as a stream of server-sent events; only "data:" lines matter, comments keep
 * the connection open.
 */
export class Fault extends Error {
  constructor(text, status = 0) {
    super(text);
    this.status = status;
  }
}

const headers = (key) => ({ "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) });

async function ask(path, key, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...headers(key), ...options.headers }, cache: "no-store", credentials: "same-origin" });
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new Fault("The server does not answer. Is cria serve still running?");
  }
  if (!response.ok) throw await faultOf(response);
  return response;
}

async function faultOf(response) {
  const error = await response.json().then((d) => d.error, () => null);
  const said = typeof error?.message === "string" ? error.message : `status ${response.status}`;
  const wait = response.headers.get("Retry-After");
  const words = {
    401: "This server asks for an API key. Give it in the settings.",
    413: `This chat has become too long for the server to keep (${said}). Export it, or begin a new one.`,
    429: `The server is busy${wait ? `; try again in ${wait} s` : ""}.`,
    503: "The server is about to end, or does not get on. Try again in a moment.",
    507: "The server's store is full. Delete old chats, or export them.",
  };
  if (error?.code === "context_length_exceeded")
    return new Fault(`This chat has become longer than the model can read (${said}). Begin a new chat, or edit an earlier message.`, 400);
  return new Fault(words[response.status] ?? `The server refused: ${said}.`, response.status);
}

/* The models, and what this server can do besides. */
export async function listModels(key) {
  const list = await (await ask("v1/models", key)).json();
  // what files say of themselves may be the same for several of them
  const name = (m) => String((list.data.length === 1 && m.meta?.name) || m.id);
  return { models: list.data.map((m) => ({ id: String(m.id), name: name(m) })), features: list.features ?? {} };
}

export async function readPassage(id, key) {
  const passage = await (await ask(`v1/passages/${Number(id)}`, key)).json();
  return { text: String(passage.text) };
}

const MAX_DOCUMENT_BYTES = 8 << 20; /* of a request's body */

/* A file into the index, in place of the one that was sent under its name. */
export async function addDocument(name, file, key) {
  if (file.size > MAX_DOCUMENT_BYTES) throw new Fault("it has more than 8 MB", 413);
  const words = { 413: "it is too large for this server", 429: "the server is busy with other documents; try again later", 507: "the index is full" };
  try {
    const options = { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } };
    return await (await ask(`v1/index?name=${encodeURIComponent(name.toWellFormed())}`, key, options)).json();
  } catch (e) {
    throw e instanceof Fault && words[e.status] ? new Fault(words[e.status], e.status) : e;
  }
}

/* ---- chats that the server keeps ---- */

/* { id, title, updated, version } of each that has the words, newest first. */
export async function* listChats(key, words) {
  const q = words ? `&q=${encodeURIComponent(words.toWellFormed())}` : "";
  for (let offset = 0; ; ) {
    const page = await (await ask(`chats?limit=200&offset=${offset}${q}`, key)).json();
    yield* page.data.map((c) => ({ id: String(c.id), title: String(c.title), updated: Number(c.updated), version: Number(c.version) }));
    offset += page.data.length;
    if (!page.has_more || page.data.length === 0) return;
  }
}

/* { chat, tag } or null. */
export async function readChat(key, id) {
  try {
    const response = await ask(`chats/${encodeURIComponent(id)}`, key);
    return { chat: await response.json(), tag: response.headers.get("ETag") };
  } catch (e) {
    if (e.status === 404) return null;
    throw e;
  }
}

/* `tag`: what was changed, undefined for a new chat. Returns the new one; Fault 412: somebody else
 * wrote it. Half a character, which a model may write, is no JSON: U+FFFD instead. */
export async function writeChat(key, chat, tag) {
  const body = JSON.stringify(chat, (_, v) => (typeof v === "string" ? v.toWellFormed() : v));
  const condition = tag ? { "If-Match": tag } : { "If-None-Match": "*" };
  const response = await ask(`chats/${encodeURIComponent(chat.id)}`, key, { method: "PUT", body, headers: condition });
  return response.headers.get("ETag");
}

export async function deleteChat(key, id) {
  try {
    await ask(`chats/${encodeURIComponent(id)}`, key, { method: "DELETE" });
  } catch (e) {
    if (e.status !== 404) throw e;
  }
}

/* The address of a page that shows the chat as it is now to whoever has it. */
export async function shareChat(key, id) {
  const share = await (await ask(`chats/${encodeURIComponent(id)}/share`, key, { method: "POST" })).json();
  return new URL(String(share.path).slice(1), location.href.split("#")[0]).href;
}

/* False: there was no link. */
export async function unshareChat(key, id) {
  try {
    await ask(`chats/${encodeURIComponent(id)}/share`, key, { method: "DELETE" });
    return true;
  } catch (e) {
    if (e.status === 404) return false;
    throw e;
  }
}

/* ---- answers ---- */

/* The data of each event. A stream may cut events, and characters, anywhere. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: ")) yield line.slice(6);
  }
}

/* Yields { text } pieces and { annotations }, then { finish }, then { usage }. Throws Fault, or AbortError when
 * `signal` stops it. */
export async function* streamChat(body, key, signal) {
  const request = { ...body, stream: true, stream_options: { include_usage: true } };
  const response = await ask("v1/chat/completions", key, { method: "POST", body: JSON.stringify(request), signal });
  let isWhole = false;
  try {
    for await (const data of events(response)) {
      if (data === "[DONE]") {
        isWhole = true;
        break;
      }
      const event = JSON.parse(data);
      if (event.error) throw new Fault(`The server gave up: ${event.error.message}.`);
      const choice = event.choices?.[0];
      if (choice?.delta?.content) yield { text: choice.delta.content };
      if (choice?.delta?.annotations) yield { annotations: choice.delta.annotations };
      if (choice?.finish_reason) yield { finish: choice.finish_reason };
      if (event.usage) yield { usage: event.usage };
    }
  } catch (e) {
    if (e instanceof Fault || e.name === "AbortError") throw e;
    isWhole = false;
  }
  if (!isWhole) throw new Fault("The connection broke before the answer was whole. What came is kept.");
}
