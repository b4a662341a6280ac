/** Put a text on the clipboard. Raises where the browser allows it in no way. */
export async function copyText(text: string | Promise<string>): Promise<void> {
  // Outside of HTTPS and localhost browsers offer no navigator.clipboard.
  if (!navigator.clipboard) return copyBySelection(await text);
  if (typeof text === "string") return navigator.clipboard.writeText(text);
  // A text still on its way is promised: Safari takes none once the click is over.
  const blob = text.then((value) => new Blob([value], { type: "text/plain" }));
  await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
}

function copyBySelection(text: string): void {
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  area.className = "visuallyHidden";
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (!isCopied) throw new Error("the browser does not allow copying");
}
