/**
 * Numbers in panels of four, as `product` reads them: panel[c / 4][r][c mod 4] = scale · values[r][c], zero where there is no column.
 *
 *   rows columns    of values
 *   strideRow strideColumn    elements from one to the next, so that a matrix can be taken transposed
 *   isDouble        whether values are f64; f32 otherwise
 *   values          f32 or f64
 *   panels          [ceil(columns / 4), rows, 4] f64
 *   scale           -1 takes products away
 */
export function pack(
  rows: i32,
  columns: i32,
  strideRow: i32,
  strideColumn: i32,
  isDouble: i32,
  values: usize,
  panels: usize,
  scale: f64,
): void {
  const bytes: usize = isDouble ? 8 : 4;
  for (let first = 0; first < columns; first += 4) {
    for (let r = 0; r < rows; ++r) {
      for (let i = 0; i < 4; ++i) {
        const c = first + i;
        let value: f64 = 0;
        if (c < columns) {
          const at = values + bytes * ((<usize>r) * strideRow + (<usize>c) * strideColumn);
          value = scale * (isDouble ? load<f64>(at) : <f64>load<f32>(at));
        }
        store<f64>(panels, value);
        panels += 8;
      }
    }
  }
}
