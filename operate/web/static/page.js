// Says when the server is gone, and asks it nothing while nobody looks.
document.addEventListener("htmx:beforeRequest", event => {
    if (document.hidden) event.preventDefault()
})
const told = gone => { document.getElementById("stale").hidden = !gone }
document.addEventListener("htmx:sendError", () => told(true))
document.addEventListener("htmx:afterOnLoad", () => told(false))
