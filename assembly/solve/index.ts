/** Linear algebra for heads that are solved for, in f64: what the host calls. See assembly/README.md. */
export { leverage } from "./leverage";
export { pack } from "./pack";
export { product } from "./product";
export { reflect } from "./reflect";
export { tridiagonalise } from "./tridiagonalise";

/** The first byte that the host may use. */
export function heap(): usize {
  return __heap_base;
}
