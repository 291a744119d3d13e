/** A module as bundlers and runtimes of the edge import it: compiled. */
declare module "*.wasm" {
  const module: WebAssembly.Module;
  export default module;
}
