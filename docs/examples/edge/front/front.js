// The thin front: it only finds the key's object. The value arrives as JSON text and is passed on as it is.

const ATTEMPTS = 3;

async function call(namespace, key, method, attempt = 1) {
  try {
    return await namespace.getByName(key)[method](); // a new stub for each attempt: one that has thrown stays broken
  } catch (error) {
    const mayHelp = (error.retryable || error.durableObjectReset) && !error.overloaded;
    if (!mayHelp || attempt === ATTEMPTS) throw error;
  }
  await new Promise((resolve) => setTimeout(resolve, 50 * 2 ** attempt * Math.random()));
  return call(namespace, key, method, attempt + 1);
}

export default {
  async fetch(request, env) {
    const key = decodeURIComponent(new URL(request.url).pathname.slice(1));
    if (request.method === "DELETE") {
      await call(env.USERS, key, "invalidate");
      return new Response(null, { status: 204 });
    }
    const reply = await call(env.USERS, key, "lookup");
    if (reply.error) return new Response(reply.message, { status: 502 });
    const headers = { "content-type": "application/json", age: String(Math.floor(reply.age)), "x-cache": reply.outcome };
    return new Response(reply.value, { headers });
  },
};
