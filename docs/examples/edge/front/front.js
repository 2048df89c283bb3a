// The thin front: it only finds the user's object. The value arrives as JSON text and is passed on as it is.

const ATTEMPTS = 3;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$/; // as in objects/main.py; nothing else reaches an object or the origin
const STATUS = { UserNotFound: 404, OriginFailed: 502, LoadTimeout: 504, TooManyWaiters: 503 };
const HEADERS = {
  "cache-control": "private, no-cache", // whoever keeps an answer asks again, so that an invalidation binds at once
  "x-content-type-options": "nosniff",
};

async function call(namespace, name, method, attempt = 1) {
  try {
    return await namespace.getByName(name)[method](); // a new stub for each attempt: one that has thrown stays broken
  } catch (error) {
    const mayHelp = (error.retryable || error.durableObjectReset) && !error.overloaded;
    if (!mayHelp || attempt === ATTEMPTS) throw error;
  }
  await new Promise((resolve) => setTimeout(resolve, 50 * 2 ** attempt * Math.random()));
  return call(namespace, name, method, attempt + 1);
}

function nameIn(request) {
  try {
    const name = decodeURIComponent(new URL(request.url).pathname.slice(1));
    return NAME.test(name) ? name : null;
  } catch {
    return null; // an escape that is no UTF-8
  }
}

async function mayInvalidate(request, env) {
  if (!env.INVALIDATION_TOKEN) return false; // not set: nobody may
  const sha256 = (text) => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  const given = await sha256(request.headers.get("authorization") ?? "");
  return crypto.subtle.timingSafeEqual(given, await sha256(`Bearer ${env.INVALIDATION_TOKEN}`));
}

function text(message, status, headers = {}) {
  return new Response(`${message}\n`, { status, headers: { ...HEADERS, "content-type": "text/plain", ...headers } });
}

async function answer(request, env) {
  if (!["GET", "HEAD", "DELETE"].includes(request.method)) {
    return text("GET, HEAD or DELETE", 405, { allow: "GET, HEAD, DELETE" });
  }
  const name = nameIn(request);
  if (name === null) return text("that is no user's name", 400);
  if (request.method === "DELETE") {
    if (!(await mayInvalidate(request, env))) return text("who are you?", 401, { "www-authenticate": "Bearer" });
    const reply = await call(env.USERS, name, "invalidate");
    return reply.error ? text("not invalidated, try again", 503) : new Response(null, { status: 204, headers: HEADERS });
  }
  const reply = await call(env.USERS, name, "lookup");
  if (reply.error in STATUS) return text(reply.message, STATUS[reply.error]);
  if (reply.error) {
    console.error(name, reply.error, reply.message); // for us; a stranger is not told
    return text("the user cannot be had now", 502);
  }
  const headers = { "content-type": "application/json", age: String(Math.floor(reply.age)), "x-cache": reply.outcome };
  return new Response(request.method === "HEAD" ? null : reply.value, { headers: { ...HEADERS, ...headers } });
}

export default {
  async fetch(request, env) {
    try {
      return await answer(request, env);
    } catch (error) {
      console.error(error); // the object could not be asked
      return text("try again", 503, { "retry-after": "1" });
    }
  },
};
