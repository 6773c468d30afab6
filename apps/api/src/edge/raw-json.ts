/** Where a value stands in a JSON text: from its first character to behind its last. */
export interface Span {
  start: number;
  end: number;
}

const QUOTE = 34;
const BACKSLASH = 92;
const COMMA = 44;
const COLON = 58;
const [BRACKET, BRACKET_END, BRACE, BRACE_END] = [91, 93, 123, 125];
const OPEN = new Set([BRACKET, BRACE]);
const CLOSE = new Set([BRACKET_END, BRACE_END]);

/**
 * The value of a member of the object that begins at `at`. Of a name that stands twice the last counts, as in JSON.parse.
 * The text must be valid JSON already; nothing recurses, so depth and hostile nesting cost nothing.
 */
export function memberSpan(text: string, name: string, at = skipBlank(text, 0)): Span | undefined {
  let found: Span | undefined;
  for (let i = skipBlank(text, at + 1); text[i] !== '}';) {
    const nameEnd = skipString(text, i);
    const start = skipBlank(text, skipBlank(text, nameEnd) + 1);
    const end = skipValue(text, start);
    if (isName(text, i, nameEnd, name)) found = { start, end };
    i = nextItem(text, end);
  }
  return found;
}

/** Whether the string from `start` to `end` says `name`, which may be spelled with escapes. */
function isName(text: string, start: number, end: number, name: string): boolean {
  const spelled = text.slice(start, end);
  return spelled.includes('\\') ? JSON.parse(spelled) === name : spelled === `"${name}"`;
}

/** The spans of the elements of the array that begins at `at`. The text must be valid JSON already. */
export function elementSpans(text: string, at: number): Span[] {
  const elements: Span[] = [];
  for (let i = skipBlank(text, at + 1); text[i] !== ']';) {
    const end = skipValue(text, i);
    elements.push({ start: i, end });
    i = nextItem(text, end);
  }
  return elements;
}

function nextItem(text: string, end: number): number {
  const i = skipBlank(text, end);
  return text.charCodeAt(i) === COMMA ? skipBlank(text, i + 1) : i;
}

/** Behind the value that begins at `i`. */
function skipValue(text: string, i: number): number {
  const first = text.charCodeAt(i);
  if (first === QUOTE) return skipString(text, i);
  if (!OPEN.has(first)) return skipLiteral(text, i);
  let depth = 0;
  for (;;) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) i = skipString(text, i);
    else {
      i++;
      if (OPEN.has(code)) depth++;
      else if (CLOSE.has(code) && --depth === 0) return i;
    }
  }
}

/** Behind the string that begins at `i`, jumping from quote to quote; 0 when it does not end. */
function skipString(text: string, i: number): number {
  for (let quote = text.indexOf('"', i + 1); ; quote = text.indexOf('"', quote + 1)) {
    if (quote < 0) return 0;
    let escapes = 0;
    while (text.charCodeAt(quote - 1 - escapes) === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return quote + 1;
  }
}

/** Behind a number, true, false or null. */
function skipLiteral(text: string, i: number): number {
  while (
    i < text.length &&
    !isBlank(text.charCodeAt(i)) &&
    text.charCodeAt(i) !== COMMA &&
    !CLOSE.has(text.charCodeAt(i))
  )
    i++;
  return i;
}

function skipBlank(text: string, i: number): number {
  while (isBlank(text.charCodeAt(i))) i++;
  return i;
}

function isBlank(code: number): boolean {
  return code === 32 || code === 10 || code === 13 || code === 9;
}

// The shortest member is `"":0` and its comma. A text that is too short for too many is not looked at: publishing pays nothing.
const MEMBER_LENGTH_MIN = 5;

/** Whether a JSON text names more members than this, all objects in it together. Looked at before it is parsed, which is what costs. */
export function hasMoreKeysThan(text: string, max: number): boolean {
  return text.length > max * MEMBER_LENGTH_MIN && shapeOf(text).keys > max;
}

/** How deep arrays and objects are nested and how many members objects have, without recursion and without parsing. */
export function shapeOf(text: string): { depth: number; keys: number } {
  let open = 0;
  let depth = 0;
  let keys = 0;
  for (let i = 0; i < text.length; i++)
    switch (text.charCodeAt(i)) {
      case QUOTE:
        // Of a text that ends within a string nothing is left to count; the parser says where.
        if ((i = skipString(text, i) - 1) < 0) return { depth, keys };
        break;
      case COLON:
        keys++;
        break;
      case BRACKET:
      case BRACE:
        depth = Math.max(depth, ++open);
        break;
      case BRACKET_END:
      case BRACE_END:
        open--;
    }
  return { depth, keys };
}
