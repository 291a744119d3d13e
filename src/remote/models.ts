/** Models and files of another thread: what they are is posted, their bytes are read over a port. */
import type { ByteSource } from "../bytes.ts";
import type { Checkpoint, Form, Layout } from "../checkpoint.ts";
import type { Model } from "../model.ts";
import { type Handler, Moved, type Peer, peerOf } from "./peer.ts";

/** A copy, whose memory moves: what was read may be a view of the file itself. */
function moved(bytes: Uint8Array): Moved {
  const copy = bytes.slice();
  return new Moved(copy, [copy.buffer]);
}

/** A file as it is posted. */
export interface PostedFile {
  readonly name: string;
  readonly size: number;
  readonly sequential: boolean | undefined;
  readonly hasWhole: boolean;
  readonly port: MessagePort;
}

/**
 * Serves a file to who gets the answer.
 *
 * @param whole in place of the file's
 */
export function postFile(file: ByteSource, whole = file.whole?.bind(file)): PostedFile {
  const { port1, port2 } = new MessageChannel();
  peerOf(port1, {
    read: async ([offset, length]) => moved(await file.read(offset as number, length as number)),
    whole: async () => moved(await whole!()),
    close: () => file.close(),
  });
  const { name, size, sequential } = file;
  return { name, size, sequential, hasWhole: whole !== undefined, port: port2 };
}

export function openFile({ name, size, sequential, hasWhole, port }: PostedFile): ByteSource {
  const peer = peerOf(port);
  const bytes = (result: Promise<unknown>): Promise<Uint8Array> => result as Promise<Uint8Array>;
  return {
    ...{ name, size, ...(sequential !== undefined && { sequential }) },
    read: (offset, length) => bytes(peer.call("read", [offset, length])),
    ...(hasWhole && { whole: () => bytes(peer.call("whole", [])) }),
    close: () => closed(peer, port),
  };
}

/** Closing one end of a channel closes the other, which has answered then. */
async function closed(peer: Peer, port: MessagePort): Promise<void> {
  await peer.call("close", []);
  port.close();
}

/** What of a model can be posted. */
export type PlainModel = Omit<Model, "checkpoint" | "close" | typeof Symbol.asyncDispose> & {
  readonly checkpoint: Omit<Checkpoint, "read" | "close" | "packed" | "originalName">;
};

/** A model as it is posted. */
export interface PostedModel {
  readonly plain: PlainModel;
  readonly packed: Layout | undefined;
  /** Of the tensors that are called otherwise in the file. */
  readonly originalNames: ReadonlyMap<string, string>;
  readonly port: MessagePort;
}

export function plainModel({ close: _, [Symbol.asyncDispose]: __, checkpoint, ...rest }: Model): PlainModel {
  const { read: ___, close: ____, packed: _____, originalName: ______, ...plain } = checkpoint;
  return { ...rest, checkpoint: plain };
}

/** Serves a model to who gets the answer. */
export function postModel(model: Model): PostedModel {
  const { checkpoint } = model;
  const { packed } = checkpoint;
  const { port1, port2 } = new MessageChannel();
  const handlers: Readonly<Record<string, Handler>> = {
    read: async ([name]) => moved(await checkpoint.read(name as string)),
    packed: async ([node]) => moved(await packed!.read(node as string)),
    close: () => model.close(),
  };
  peerOf(port1, handlers);
  const names = checkpoint.originalName === undefined ? [] : [...checkpoint.tensors.keys()];
  const originalNames = new Map(names.map((name) => [name, checkpoint.originalName!(name)]));
  return { plain: plainModel(model), packed: packed?.layout, originalNames, port: port2 };
}

export function openModel({ plain, packed, originalNames, port }: PostedModel): Model {
  const peer = peerOf(port);
  const read = async (name: string, at: string, into: Uint8Array | undefined): Promise<Uint8Array> => {
    const bytes = (await peer.call(name, [at])) as Uint8Array;
    into?.set(bytes);
    return into ?? bytes;
  };
  const close = (): Promise<void> => closed(peer, port);
  return {
    ...plain,
    close,
    [Symbol.asyncDispose]: close,
    checkpoint: {
      ...plain.checkpoint,
      close,
      read: (name, into) => read("read", name, into),
      ...(originalNames.size > 0 && { originalName: (name: string) => originalNames.get(name) ?? name }),
      ...(packed !== undefined && {
        packed: {
          layout: packed,
          form: (node: string): Form | undefined => packed.layers[node]?.form,
          read: (node: string, into?: Uint8Array) => read("packed", node, into),
        },
      }),
    },
  };
}
