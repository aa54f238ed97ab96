// Attention as a table: a row a piece of the translation, a column a piece of the source, a cell the darker the more it was looked at.

const shown = (piece) => piece.replace(/^▁/, "") || "␣";

// {sources, targets, weights} as `Translator.attention` gives it -> a table; what each cell means stands in its title and its text.
export function heatMap({ sources, targets, weights }) {
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  head.insertCell();
  for (const piece of sources) {
    const text = document.createElement("span");
    text.textContent = shown(piece);
    head.append(heading("col", text));
  }
  const body = table.createTBody();
  targets.forEach((piece, row) => {
    const line = body.insertRow();
    line.append(heading("row", shown(piece)));
    weights[row].forEach((weight, column) => {
      const cell = line.insertCell();
      cell.style.setProperty("--weight", weight.toFixed(3));
      cell.title = `${shown(piece)} looks at ${shown(sources[column])}: ${weight.toFixed(2)}`;
      const text = document.createElement("span");
      text.className = "hidden";
      text.textContent = weight.toFixed(2);
      cell.append(text);
    });
  });
  return table;
}

function heading(scope, content) {
  const cell = document.createElement("th");
  cell.scope = scope;
  cell.append(content);
  return cell;
}
