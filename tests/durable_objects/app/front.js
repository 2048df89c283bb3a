// The JavaScript front of the tests: `/Class/key/method`, arguments as JSON; answers with the object's reply as JSON.

const asJson = (_, value) => (value instanceof Uint8Array ? { bytes: value.length } : value);

export default {
  async fetch(request, env) {
    const [, name, key, method] = new URL(request.url).pathname.split("/").map(decodeURIComponent);
    const text = await request.text();
    const call = () => env[name].getByName(key)[method](...(text ? JSON.parse(text) : []));
    try {
      return Response.json(JSON.parse(JSON.stringify((await call()) ?? null, asJson)));
    } catch (error) {
      return Response.json({ thrown: error.message, reset: error.durableObjectReset ?? false }, { status: 500 });
    }
  },
};
