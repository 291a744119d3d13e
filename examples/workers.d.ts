/** Types of Workers for programs that have the DOM's beside them: tests and what runs the examples here. */
type R2Bucket = import("@cloudflare/workers-types").R2Bucket;
type Queue<Body> = import("@cloudflare/workers-types").Queue<Body>;
