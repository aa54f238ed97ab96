// Copying what an element shows.

// Whether it was copied; if not, it is left selected. Pages that are not from a safe origin have the old way alone.
export async function copied(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    const selection = getSelection();
    selection.selectAllChildren(element);
    const done = document.execCommand("copy");
    if (done) selection.removeAllRanges();
    return done;
  }
}
