/** Standard streams that cannot be written any more. */

/**
 * Ends the process when its output is no longer read, without a message and with status 0, as `| head` makes happen; and
 * when the output cannot be written, with one line and status 1. Without this, Node prints a stack.
 */
export function handleStreamErrors(): void {
  process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
    if (code === "EPIPE") process.exit(0);
    process.stderr.write(`stdout: expected an output that can be written, got ${REASONS[code ?? ""] ?? message}\n`);
    process.exit(1);
  });
  // There is nowhere left to say why.
  process.stderr.on("error", ({ code }: NodeJS.ErrnoException) => process.exit(code === "EPIPE" ? 0 : 1));
}

const REASONS: Readonly<Record<string, string>> = { ENOSPC: "a full disk", EIO: "an input/output error" };
