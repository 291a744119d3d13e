/** An engine that cannot take part: it is reported as absent, never measured in some other mode. */
export class Unavailable extends Error {
  override name = "Unavailable";
}
