import { boundTo, type Scope } from '@app/contracts';
import { uuidFloor } from '@app/domain';

type Operator = '=' | '<' | '>' | '>=';

/**
 * The WHERE of a list: only the predicates that are given, so the planner sees what is asked and picks its index,
 * and bounds on the id prune partitions. Columns are written by us; values only ever travel as parameters.
 */
export class Predicates {
  readonly values: unknown[] = [];
  private readonly parts: string[] = [];
  private readonly restParts: string[] = [];

  /** `column` is that of the subscriber: a scope that is bound adds it whatever else is asked. */
  constructor(scope: Scope, column: string) {
    this.add(column, '=', boundTo(scope));
  }

  add(column: string, operator: Operator, value: unknown): this {
    if (value !== undefined && value !== null)
      this.parts.push(`${column} ${operator} ${this.parameter(value)}`);
    return this;
  }

  /** A predicate that no index of the list serves: looked at in `rest`, row by row, of a bounded number of rows. */
  addRest(column: string, operator: Operator, value: unknown): this {
    if (value !== undefined && value !== null)
      this.restParts.push(`${column} ${operator} ${this.parameter(value)}`);
    return this;
  }

  /** Asked once and not of each row: where it is false nothing is read. It names no column of the list. */
  once(condition: string): this {
    this.parts.push(condition);
    return this;
  }

  any(column: string, type: 'uuid' | 'text', values: readonly string[]): this {
    this.parts.push(`${column} = ANY(${this.parameter(values)}::${type}[])`);
    return this;
  }

  /** Rows whose UUIDv7 is of `since` or later and before `until`. */
  within(column: string, since: Date | undefined, until: Date | undefined): this {
    return this.add(column, '>=', since && floorOf(since)).add(column, '<', until && floorOf(until));
  }

  parameter(value: unknown): string {
    return `$${this.values.push(value)}`;
  }

  get where(): string {
    return clause(this.parts);
  }

  get rest(): string {
    return clause(this.restParts);
  }
}

function clause(parts: string[]): string {
  return parts.length > 0 ? `WHERE ${parts.join(' AND ')}` : '';
}

// What 48 bits hold: a caller's year 275760 is "the end of time", not an error.
const UUID_MS_MAX = 0xffffffffffff;

function floorOf(at: Date): string {
  return uuidFloor(Math.min(Math.max(at.getTime(), 0), UUID_MS_MAX));
}
