/** What PyTorch's two formats have in common once they are open. */
import { expectedGot, ModelError } from "../../errors.ts";
import type { Storage } from "./tensor.ts";

/** Longest pickle accepted, in bytes: it describes the tensors and holds none of them. */
export const MAX_PICKLE_BYTES = 1 << 26;
export const SAVE_AGAIN = "in Python, save the weights alone: torch.save(model.state_dict(), path)";
export const CUT_SHORT = "the file may be cut short; fetch it again";

/** The pickled object, and how a storage's bytes are read. */
export interface Opened {
  readonly root: unknown;
  /** Throws unless the storage is there, and as long as the pickle says. */
  check(storage: Storage, tensor: string): void;
  read(storage: Storage, offset: number, length: number): Promise<Uint8Array>;
}

export function tooLong(where: string, bytes: number): ModelError {
  const expected = `a pickle of at most ${MAX_PICKLE_BYTES} bytes`;
  return new ModelError("unsupported", expectedGot(where, expected, `one of ${bytes}`, SAVE_AGAIN));
}
