/** The camera: a stream, and frames that can be given away. */
import { signal } from "@preact/signals";
import { t } from "./messages.ts";

/** Why there is no picture; a function of the language. */
export const cameraProblem = signal<(() => string) | undefined>(undefined);
export const stream = signal<MediaStream | undefined>(undefined);
export const severalCameras = signal(false);
/** How often, and after how many milliseconds, a stream is asked for its first frame. */
const [FIRST_FRAME_TRIES, FIRST_FRAME_MS] = [100, 50];
let facing: "environment" | "user" = "environment";

function reasonOf({ name }: { readonly name?: string }): () => string {
  if (name === "NotAllowedError" || name === "SecurityError") return () => t().cameraBlocked;
  if (name === "NotReadableError" || name === "AbortError") return () => t().cameraBusy;
  return () => t().noCamera;
}

export async function startCamera(): Promise<void> {
  stopCamera();
  cameraProblem.value = undefined;
  try {
    const video = { facingMode: facing, width: { ideal: 1280 }, height: { ideal: 720 } };
    stream.value = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    const devices = await navigator.mediaDevices.enumerateDevices();
    severalCameras.value = devices.filter(({ kind }) => kind === "videoinput").length > 1;
  } catch (error) {
    cameraProblem.value = reasonOf(error as Error);
  }
}

export function stopCamera(): void {
  for (const track of stream.value?.getTracks() ?? []) track.stop();
  stream.value = undefined;
}

export function flipCamera(): Promise<void> {
  facing = facing === "user" ? "environment" : "user";
  return startCamera();
}

/** Whether the camera may be started without asking. */
export async function mayStart(): Promise<boolean> {
  try {
    return (await navigator.permissions.query({ name: "camera" as PermissionName })).state === "granted";
  } catch {
    return false;
  }
}

/** What the video shows, to be given to the worker; waits for the first frame. */
export async function frameOf(video: HTMLVideoElement): Promise<VideoFrame | ImageBitmap> {
  if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) {
    await new Promise((resolve) => video.addEventListener("loadeddata", resolve, { once: true }));
  }
  if (!("VideoFrame" in globalThis)) return createImageBitmap(video);
  for (let tries = 1; ; ++tries) {
    try {
      return new VideoFrame(video);
    } catch (error) {
      // A stream that has just begun has data, but no frame to show yet.
      if ((error as Error).name !== "InvalidStateError" || tries === FIRST_FRAME_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, FIRST_FRAME_MS));
    }
  }
}
