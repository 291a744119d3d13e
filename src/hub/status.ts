/** What a server's answer means. */
import type { ModelErrorCode } from "../errors.ts";

/** The error code that an HTTP status means. */
export function codeOfStatus(status: number): ModelErrorCode {
  if (status === 404 || status === 410) return "not-found";
  return [401, 403, 407, 451].includes(status) ? "denied" : "network";
}
