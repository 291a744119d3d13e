/** `Teacher` as pages have it: without what teaches, which is imported when it is first called. */
import type { Teacher as OpenTeacher } from "./train/teacher.ts";

/** A model that is taught photo by photo: what `createTeacher` returns. */
export type Teacher = OpenTeacher;

export const Teacher = {
  /**
   * One teacher that knows the photos of all: the same bytes as if it had been taught them itself. The others stay as they are.
   *
   * @throws OptionError for none, or for teachers of different networks or heads
   */
  async merge(...teachers: readonly OpenTeacher[]): Promise<OpenTeacher> {
    const { Teacher } = await import("./train/teacher.ts");
    return Teacher.merge(...teachers);
  },
} as const;

/**
 * Adds up what `teacher.sums()` gave on several devices: the same bytes, in any order, as the sums of one that was taught all.
 *
 *     const all = await mergeSums(mine, yours, theirs);
 *     await teacher.addSums(all);
 *
 * @throws ModelError for bytes that are no sums, or sums of different networks; OptionError for none
 */
export async function mergeSums(...files: readonly Uint8Array[]): Promise<Uint8Array<ArrayBuffer>> {
  const { mergeSums } = await import("./train/heads/sums-file.ts");
  return mergeSums(...files);
}
