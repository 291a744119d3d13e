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
