// What herdless is compared with: the pattern it comes from, by hand, and the same object without it.
import { DurableObject } from "cloudflare:workers";

const TTL = 60_000;

class Origin extends DurableObject {
  async load(key) {
    const response = await this.env.ORIGIN.fetch(`http://origin/Reference/${key}`);
    return { text: await response.text(), until: Date.now() + TTL };
  }
}

// One object for each key holds both the pending promise and the finished response; the value is stored too.
export class Coalescing extends Origin {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS value (id INTEGER PRIMARY KEY, text, until)");
    this.value = [...ctx.storage.sql.exec("SELECT text, until FROM value")][0];
    this.pending = null;
  }

  async get(key) {
    if (this.value && Date.now() < this.value.until) return this.value.text;
    this.pending ??= this.loadAndStore(key).finally(() => (this.pending = null));
    return (await this.pending).text;
  }

  async loadAndStore(key) {
    const { text, until } = await this.load(key);
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO value VALUES (1, ?, ?)", text, until);
    this.ctx.storage.setAlarm(until);
    return (this.value = { text, until });
  }

  async alarm() {
    await this.ctx.storage.deleteAll();
  }
}

// Caches, but lets every caller of a cold key load it.
export class Loading extends Origin {
  async get(key) {
    if (!this.value || Date.now() >= this.value.until) this.value = await this.load(key);
    return this.value.text;
  }
}

export default {
  async fetch(request, env) {
    const [, name, key] = new URL(request.url).pathname.split("/");
    return new Response(await env[name].getByName(key).get(key));
  },
};
