/** Who may ask: names that the service goes by, a token, pages of other origins. */
import { HttpError } from "./refusal.ts";

export interface Access {
  /**
   * Names, without a port, that requests may have in `Host`; any when absent. A page whose name an attacker has pointed at
   * this address (DNS rebinding) asks by its own name, and is refused.
   */
  readonly hosts?: readonly string[];
  /** What `Authorization: Bearer …` must hold for `/classify` and `/metrics`; nothing is asked for when absent. */
  readonly token?: string;
  /** The origin whose pages may call, `*` for all, `none`; `*`. */
  readonly allowOrigin?: string;
}

/** An IPv4 or IPv6 address as a URL has it: no name, so it cannot be pointed elsewhere. */
const ADDRESS = /^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]+\])$/;

/** The address of a request. Throws `HttpError` 400 when its `Host` is none, 403 when that is somebody else's. */
export function addressOf(request: Request, hosts: readonly string[] | undefined): URL {
  const host = request.headers.get("Host");
  const own = host === null || URL.canParse(`http://${host}`) ? request.url : "";
  if (!URL.canParse(own) || (host !== null && /[/?#@\\\s]/.test(host))) {
    throw new HttpError(400, "host", "Host must be a name or an address, and a port");
  }
  const { hostname } = new URL(host === null ? own : `http://${host}`);
  if (hosts !== undefined && !ADDRESS.test(hostname) && !hosts.includes(hostname.toLowerCase())) {
    throw new HttpError(403, "host", `this service does not go by the name ${hostname.slice(0, 80)}`);
  }
  return new URL(own);
}

/** Throws `HttpError` 401 unless the request has the token. */
export function checkToken(request: Request, token: string | undefined): void {
  if (token === undefined) return;
  const given = /^Bearer +(\S+) *$/i.exec(request.headers.get("Authorization") ?? "")?.[1] ?? "";
  if (!isEqual(given, token)) {
    const headers = { "WWW-Authenticate": "Bearer" };
    throw new HttpError(401, "token", "Authorization: Bearer must hold this service's token", headers);
  }
}

/** Compares in a time that depends on the lengths only. */
function isEqual(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; ++i) difference |= a.charCodeAt(i) ^ b.charCodeAt(i % b.length);
  return difference === 0;
}

/** Headers that let pages of `origin` read an answer. */
export function corsHeaders(origin: string): Readonly<Record<string, string>> {
  if (origin === "none") return {};
  return { "Access-Control-Allow-Origin": origin, ...(origin === "*" ? {} : { Vary: "Origin" }) };
}
