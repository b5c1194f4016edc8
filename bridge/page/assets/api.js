// Asking the server. Every request goes to the HTTP API of this page's own origin.

/** An answer that is not what was asked for: place, fact and remedy are in its text. */
export class Problem extends Error {
  /** @param {number} status 0: there was no answer */
  constructor(status, title, detail, problems = []) {
    super(detail || title);
    this.name = 'Problem';
    this.status = status;
    this.title = title;
    this.problems = problems; // of a configuration: {file, line, column, place, fact, remedy}
  }
}

const scopes = ['read', 'ops', 'admin'];

/** What the API is asked with. The token is sent as a header, and is in no address. */
export class Api {
  /** @param {{token?: string, denied: () => void}} o denied is called when a token is needed, or is good no more */
  constructor(o) {
    this.token = o.token ?? '';
    this.denied = o.denied;
    this.me = { name: '', scope: 'read', version: '' };
  }

  /** Whether whoever looks may do what needs a scope. */
  can(scope) { return scopes.indexOf(this.me.scope) >= scopes.indexOf(scope); }

  headers(more = {}) {
    return { Accept: 'application/json', ...(this.token && { Authorization: `Bearer ${this.token}` }), ...more };
  }

  /** GET, below /api/v1. Query: values, or lists of them; what is empty is left out. */
  get(path, query, signal) { return this.send('GET', path + queryOf(query), undefined, signal); }
  post(path, body, signal) { return this.send('POST', path, body ?? {}, signal); }
  patch(path, body, signal) { return this.send('PATCH', path, body ?? {}, signal); }
  delete(path, signal) { return this.send('DELETE', path, undefined, signal); }

  async send(method, path, body, signal) {
    let answer;
    try {
      answer = await fetch(`/api/v1/${path}`, {
        method, signal, cache: 'no-store', credentials: 'omit', redirect: 'error',
        headers: this.headers(body !== undefined ? { 'Content-Type': 'application/json' } : {}),
        body: body !== undefined ? JSON.stringify(body) : undefined,
      });
    } catch (err) {
      if (signal?.aborted) throw err;
      throw new Problem(0, 'No answer', 'The server does not answer (is Tocsin running, and can this machine reach it?)');
    }
    if (answer.status === 401) this.denied();
    if (!answer.ok) throw await problemOf(answer);
    return answer.status === 204 ? null : answer.json();
  }

  /**
   * Yields the pages of a list, as lists.
   * @param {string} path
   * @param {string} list the name of the list in the answer
   */
  async *pages(path, list, query, signal) {
    for (let cursor; ;) {
      const page = await this.get(path, { limit: 1000, ...query, cursor }, signal);
      yield page[list];
      if (!page.next) return;
      cursor = page.next;
    }
  }

  /** All entries of a list, or the first of them. */
  async all(path, list, query, signal, most = 10_000) {
    const all = [];
    for await (const page of this.pages(path, list, query, signal)) {
      all.push(...page);
      if (all.length >= most) break;
    }
    return all;
  }
}

/** Reads the problem document of an answer. */
export async function problemOf(answer) {
  try {
    const p = await answer.json();
    return new Problem(answer.status, p.title ?? '', p.detail ?? '', p.problems);
  } catch {
    return new Problem(answer.status, answer.statusText, `The server answers ${answer.status} ${answer.statusText}`);
  }
}

/** Writes a query. */
export function queryOf(query) {
  const q = new URLSearchParams();
  for (const [name, v] of Object.entries(query ?? {})) {
    for (const one of Array.isArray(v) ? v : [v]) {
      if (one !== undefined && one !== null && one !== '' && one !== false) q.append(name, String(one));
    }
  }
  const text = q.toString();
  return text ? `?${text}` : '';
}

/** A path of parts, each percent-encoded: path('devices', id). */
export const path = (...parts) => parts.map(encodeURIComponent).join('/');
