import { arrayOf, type Element } from './array-of.js';

/** A column of the rows that a statement is given: its name, its type in SQL, and what a row has in it. */
export type GivenColumn<Row> = readonly [name: string, type: string, of: (row: Row) => Element];

/** `one`: for exactly one row, its values as they are. `many`: for any number, an array for each column. */
export type Form = 'one' | 'many';

/**
 * Rows that a statement is given. There are two forms because each array that is unnested costs PostgreSQL 3 to 7 µs whatever is in it, half of
 * what a statement with 33 of them takes for one row; and that is how they come when nobody is in a hurry (docs/adr/0020).
 */
export interface Given<Row> {
  /** A subquery with these columns. */
  readonly sql: Readonly<Record<Form, string>>;
  /** The number of the first parameter that is not taken by it. */
  readonly next: number;
  /** For no row at all both forms will do: that is how `one` is rehearsed. */
  values(form: Form, rows: readonly Row[]): unknown[];
}

/** @param first the number of its first parameter */
export function given<Row>(columns: readonly GivenColumn<Row>[], first = 1): Given<Row> {
  const parameters = columns.map(([, type], at) => ({ type, place: `$${first + at}` }));
  const names = columns.map(([name]) => name).join(', ');
  const arrays = parameters.map(({ type, place }) => `${place}::${type}[]`).join(', ');
  const scalars = parameters
    .map(({ type, place }, at) => `${place}::${type} AS ${columns[at][0]}`)
    .join(', ');
  const [{ type, place }] = parameters;
  return {
    sql: {
      one: `(SELECT ${scalars} WHERE ${place}::${type} IS NOT NULL)`,
      many: `(SELECT * FROM unnest(${arrays}) AS x (${names}))`,
    },
    next: first + columns.length,
    values: (form, rows) => {
      if (form === 'many') return columns.map(([, , of]) => arrayOf(rows.map(of)));
      if (rows.length > 1) throw new Error(`Bug: ${rows.length} rows are given as one`);
      return columns.map(([, , of]) => (rows.length === 0 ? null : of(rows[0])));
    },
  };
}

export function formOf(rows: readonly unknown[]): Form {
  return rows.length === 1 ? 'one' : 'many';
}

/** A statement in both forms, each with the name that it is prepared under. */
export function inBothForms(
  name: string,
  sql: (form: Form) => string,
): Readonly<Record<Form, readonly [name: string, sql: string]>> {
  return { one: [`${name}_one`, sql('one')], many: [name, sql('many')] };
}
