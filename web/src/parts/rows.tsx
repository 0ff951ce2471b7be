// Rows that the server filters, sorts and divides into pages; the address keeps the choice.

import { Component, type ComponentChildren, type RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { query } from "../api";
import { amount, plural } from "../numbers";
import { change, link, route } from "../route";
import { Icon } from "./icon";
import { Empty, whisper } from "./notice";

export interface Column<Row> {
  title: string;
  cell: (row: Row) => ComponentChildren;
  /** The name by which the server sorts. */
  sort?: string;
  isNumber?: boolean;
  /** Its title is for those who do not see the column. */
  isBare?: boolean;
  /** Takes the whole width of a narrow screen. */
  isWide?: boolean;
  /** Which way a first click sorts. */
  first?: "asc" | "desc";
}

export interface Listing {
  q: string;
  sort: string;
  order: "asc" | "desc";
  offset: number;
  /** What to add to the path of a request. */
  search: string;
}

/** Few enough that a letter in the filter shows its rows at once. */
export const PAGE_ROWS = 25;

/** The listing that the address states. */
export function listing(sort: string, order: "asc" | "desc", filters: string[] = []): Listing {
  const fields = route.value.fields;
  const stated = {
    q: fields.get("q") ?? "",
    sort: fields.get("sort") ?? sort,
    order: (fields.get("order") === "asc" ? "asc" : fields.get("order") === "desc" ? "desc" : order) as "asc" | "desc",
    offset: Math.max(0, Number.parseInt(fields.get("offset") ?? "0", 10) || 0),
  };
  const more = Object.fromEntries(filters.map((name) => [name, fields.get(name) ?? ""]));
  return { ...stated, search: query({ ...stated, ...more, limit: PAGE_ROWS }) };
}

function sortBy(column: { sort?: string; first?: "asc" | "desc" }, now: Listing): void {
  if (!column.sort) return;
  const turned = now.order === "asc" ? "desc" : "asc";
  const order = now.sort === column.sort ? turned : (column.first ?? "asc");
  change({ sort: column.sort, order, offset: null });
}

export function Rows<Row>(props: {
  caption: string;
  columns: Column<Row>[];
  rows: Row[];
  id: (row: Row) => string | number;
  listing?: Listing;
}) {
  const { columns, listing: order } = props;
  const body = useRef<HTMLTableSectionElement>(null);
  const keys = useKeys(props.rows.map(props.id), body);
  return (
    <div class="rows">
      {order && <NarrowSort columns={columns} listing={order} />}
      <table role="table" aria-label={props.caption}>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column) => (
              <Heading key={column.title} column={column} listing={order} />
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup" ref={body}>
          {props.rows.map((row, at) => (
            <Row key={keys[at]} row={row} columns={columns} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

/**
 * The key of each row. A row keeps its own, and with it its elements and the focus. A new row takes
 * over the elements of one that is gone: to make them anew takes longer. While something in the
 * table has the focus it does not, so that a key of the keyboard never acts on another row.
 */
function useKeys(ids: (string | number)[], body: RefObject<HTMLElement | null>): number[] {
  const held = useRef({ keys: new Map<string | number, number>(), next: 0 }).current;
  const shown = new Set(ids);
  const gone = [...held.keys].filter(([id]) => !shown.has(id)).map(([, key]) => key);
  const free = body.current?.contains(document.activeElement) ? [] : gone;
  const keys = new Map(ids.map((id) => [id, held.keys.get(id) ?? free.shift() ?? held.next++]));
  held.keys = keys;
  return [...keys.values()];
}

interface RowProps<Row> {
  row: Row;
  columns: Column<Row>[];
}

/** Draws again only what differs: most rows of an answer are those of the answer before. */
class Row<Shown> extends Component<RowProps<Shown>> {
  override shouldComponentUpdate(next: RowProps<Shown>): boolean {
    const { row, columns } = this.props;
    return columns !== next.columns || JSON.stringify(row) !== JSON.stringify(next.row);
  }

  override render({ row, columns }: RowProps<Shown>) {
    return (
      <tr role="row">
        {columns.map((column) => (
          <td
            role="cell"
            key={column.title}
            class={`${column.isNumber ? "number" : ""}${column.isWide ? " wide" : ""}`}
            data-title={column.isBare ? undefined : column.title}
          >
            {column.cell(row)}
          </td>
        ))}
      </tr>
    );
  }
}

function Heading<Row>({ column, listing: order }: { column: Column<Row>; listing?: Listing | undefined }) {
  const isSorted = order !== undefined && column.sort === order.sort;
  const sorted = isSorted ? (order.order === "asc" ? "ascending" : "descending") : undefined;
  return (
    <th role="columnheader" scope="col" class={column.isNumber ? "number" : undefined} aria-sort={sorted}>
      {column.sort && order ? (
        <button type="button" class="sort" onClick={() => sortBy(column, order)}>
          {column.title}
          {isSorted && <Icon name={order.order === "asc" ? "up" : "down"} />}
        </button>
      ) : (
        <span class={column.isBare ? "unseen" : undefined}>{column.title}</span>
      )}
    </th>
  );
}

/** On a narrow screen rows are cards, and there is no heading to click. */
function NarrowSort<Row>({ columns, listing: order }: { columns: Column<Row>[]; listing: Listing }) {
  return (
    <div class="narrow-sort">
      <label>
        Sort by{" "}
        <select
          value={order.sort}
          onChange={(event) => change({ sort: event.currentTarget.value, offset: null })}
        >
          {columns
            .filter((column) => column.sort)
            .map((column) => (
              <option key={column.sort} value={column.sort}>
                {column.title}
              </option>
            ))}
        </select>
      </label>
      <button
        type="button"
        onClick={() => change({ order: order.order === "asc" ? "desc" : "asc", offset: null })}
      >
        <Icon name={order.order === "asc" ? "up" : "down"} />
        {order.order === "asc" ? "Ascending" : "Descending"}
      </button>
    </div>
  );
}

export function Filter({ hint, value }: { hint: string; value: string }) {
  return (
    <label class="filter">
      <span class="unseen">Filter</span>
      <Icon name="search" />
      <input
        type="search"
        id="filter"
        placeholder={hint}
        value={value}
        maxLength={200}
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => change({ q: event.currentTarget.value, offset: null })}
      />
      <kbd aria-hidden="true">/</kbd>
    </label>
  );
}

export interface ChoiceProps {
  /** The field of the address. */
  name: string;
  title: string;
  /** What stands for no choice. */
  all: string;
  /** Each value, and how it reads. */
  of: Record<string, string>;
}

export function Choice(props: ChoiceProps) {
  return (
    <label class="choice">
      <span class="unseen">{props.title}</span>
      <select
        value={route.value.fields.get(props.name) ?? ""}
        onChange={(event) => change({ [props.name]: event.currentTarget.value, offset: null })}
      >
        <option value="">{props.all}</option>
        {Object.entries(props.of).map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

const SETTLED_MS = 700;

/** Which rows these are, and the others; or, if the filter leaves none, the way back to all. */
export function Pages(props: {
  offset: number;
  rows: number;
  total: number;
  /** What a row is. */
  one: string;
  page: string;
  /** How many there are without the filter, as a sentence. */
  children: ComponentChildren;
}) {
  const { offset, rows, total, one, page } = props;
  const text = total === 0 ? `No ${one}s` : `${amount(offset + 1)}–${amount(offset + rows)} of ${amount(total)}`;
  const first = useRef(true);
  useEffect(() => {
    // Read out once typing has settled, and not when the page opens.
    if (first.current) {
      first.current = false;
      return undefined;
    }
    const timer = setTimeout(() => whisper(`${plural(total, one)} match`), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [route.value.fields.get("q")]);
  const last = Math.max(0, Math.floor((total - 1) / PAGE_ROWS) * PAGE_ROWS);
  const turn = (to: number) => change({ offset: to > 0 ? String(to) : null });
  // The rows of this page have gone since: the last that there is takes its place.
  const isBehind = total > 0 && offset > last;
  useEffect(() => {
    if (isBehind) turn(last);
  }, [isBehind]);
  return (
    <>
      {rows === 0 && (
        <Empty title={`No ${one} matches.`}>
          <p>
            {props.children} <a href={link(page)}>Show all</a>
          </p>
        </Empty>
      )}
      <nav class="pages" aria-label="Pages of rows">
        <span class="count">{text}</span>
        {total > PAGE_ROWS && (
          <>
            <button type="button" disabled={offset === 0} onClick={() => turn(0)}>
              First
            </button>
            <button type="button" disabled={offset === 0} onClick={() => turn(offset - PAGE_ROWS)}>
              <Icon name="left" />
              Previous
            </button>
            <button type="button" disabled={offset >= last} onClick={() => turn(offset + PAGE_ROWS)}>
              Next
              <Icon name="right" />
            </button>
            <button type="button" disabled={offset >= last} onClick={() => turn(last)}>
              Last
            </button>
          </>
        )}
      </nav>
    </>
  );
}
