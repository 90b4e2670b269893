// The page `/try`: an image is dropped or chosen, sent, and answered.
document.addEventListener("dragover", (event) => {
  const drop = event.target.closest?.("#drop");
  if (drop) { event.preventDefault(); drop.classList.add("over"); }
});
document.addEventListener("dragleave", (event) => event.target.closest?.("#drop")?.classList.remove("over"));
document.addEventListener("drop", (event) => {
  if (!event.target.closest?.("#drop")) return;
  event.preventDefault();
  event.target.closest("#drop").classList.remove("over");
  if (event.dataTransfer.files[0]) linnetAsk(event.dataTransfer.files[0]);
});
document.addEventListener("change", (event) => {
  if (event.target.id === "file" && event.target.files[0]) linnetAsk(event.target.files[0]);
});
async function linnetAsk(file) {
  const answer = document.getElementById("answer");
  answer.innerHTML = '<div class="skeleton" role="status" aria-label="Asking"></div>';
  try {
    const reply = await fetch("/try/ask", {method: "POST", body: file});
    const text = await reply.text();
    if (reply.headers.get("content-type")?.startsWith("text/html")) answer.innerHTML = text;
    else throw new Error(text);
  } catch (error) {
    answer.innerHTML = '<p class="problem" role="alert"></p>';
    answer.firstChild.textContent = "The console did not answer: " + error.message;
  }
}
