/**
 * Browsers: files are URLs, downloads are kept in the Cache API, and more than one thread needs a cross-origin-isolated page. What takes
 * long runs in workers, unless the page wants it otherwise; what computes on the page is imported for it.
 */
export * from "../index.ts";
export { browserRuntime } from "./here.ts";
export { type InitOptions, init, type ModuleInit } from "./init.ts";
export {
  cached,
  convert,
  createTeacher,
  createTrainer,
  finetune,
  forget,
  inspect,
  load,
  openModel,
  persist,
  prefetch,
  quantize,
  train,
  tune,
  usage,
} from "./page-library.ts";
