/** The decoder alone: the package's types describe its root, which brings an encoder that needs Node's `Buffer`. */
declare module "jpeg-js/lib/decoder.js" {
  export { decode as default } from "jpeg-js";
}
