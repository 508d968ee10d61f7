// What a page of another site can try, in the body of a function: BASES, BUCKET and REGION are put in.
const authorization = service => "AWS4-HMAC-SHA256 Credential=test/20260401/REGION/" + service
    + "/aws4_request, SignedHeaders=host, Signature=00"
const credentials = service => "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00"
    + "&X-Amz-Credential=" + encodeURIComponent("test/20260401/REGION/" + service + "/aws4_request")
const read = [], tried = []
const wait = milliseconds => new Promise(done => setTimeout(done, milliseconds))
const within = promise => Promise.race([promise, wait(3000)])
const attempt = async (name, promise) => {
    tried.push(name)
    try {
        const answer = await within(promise)
        if (answer && answer.type !== "opaque") read.push(name + " " + answer.status)
    } catch (error) {}
}
const element = (name, tag, attributes) => within(new Promise(done => {
    tried.push(name)
    const made = Object.assign(document.createElement(tag), attributes)
    made.onload = () => { if (tag !== "iframe") read.push(name); done() }
    made.onerror = done
    document.body.append(made)
}))
const form = async (name, action, enctype, fields) => {
    tried.push(name)
    const frame = Object.assign(document.createElement("iframe"), {name: "f" + tried.length})
    const made = Object.assign(document.createElement("form"),
        {method: "POST", action, enctype, target: frame.name})
    for (const [key, value] of Object.entries(fields))
        made.append(Object.assign(document.createElement("textarea"), {name: key, value}))
    document.body.append(frame, made)
    made.submit()
    await wait(300)
}
const template = JSON.stringify({Resources: {R: {Type: "Custom::X", Properties: {}}}})
for (const base of BASES) {
    for (const mode of ["cors", "no-cors", "same-origin"]) {
        const post = (path, body, headers) => fetch(base + path, {method: "POST", mode, body, headers})
        for (const [target, service, body] of [
            ["AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition", "ecs",
                {family: "x", containerDefinitions: [{name: "x", image: "x", entryPoint: ["sh", "-c"]}]}],
            ["AmazonEC2ContainerServiceV20141113.RunTask", "ecs", {taskDefinition: "x"}],
        ]) {
            await attempt(base + mode + target, post("/", JSON.stringify(body), {
                "Content-Type": "text/plain", "X-Amz-Target": target,
                "Authorization": authorization(service)}))
            await attempt(base + mode + target + " in the query",
                post("/?" + credentials(service), JSON.stringify(body), {"Content-Type": "text/plain"}))
        }
        await attempt(base + mode + "CreateFunction", post("/2015-03-31/functions?" + credentials("lambda"),
            JSON.stringify({FunctionName: "x"}), {"Content-Type": "text/plain"}))
        await attempt(base + mode + "Invoke", post("/2015-03-31/functions/x/invocations", "{}",
            {"Content-Type": "text/plain"}))
        await attempt(base + mode + "CreateStack", post("/?" + credentials("cloudformation"),
            new URLSearchParams({Action: "CreateStack", StackName: "x", TemplateBody: template})))
        for (const path of ["/_ministack/reset", "/_ministack/config", "/_fargate-batch/fire?name=nightly",
                "/_fargate-batch/outputs"]) {
            await attempt(base + mode + path, post(path, "{}"))
            await attempt(base + mode + "GET " + path, fetch(base + path, {mode}))
        }
        for (const path of ["/BUCKET/there", "/private/there", "/private/there?" + credentials("s3")]) {
            await attempt(base + mode + "GET " + path, fetch(base + path, {mode}))
            await attempt(base + mode + "PUT " + path, fetch(base + path, {mode, method: "PUT", body: "x"}))
        }
    }
    for (const path of ["/_fargate-batch/fire?name=nightly", "/private/there?" + credentials("s3"),
            "/?Action=ListRoles&" + credentials("iam")]) {
        await element(base + "image" + path, "img", {src: base + path})
        await element(base + "script" + path, "script", {src: base + path})
        await element(base + "style" + path, "link", {rel: "stylesheet", href: base + path})
        await element(base + "frame" + path, "iframe", {src: base + path})
    }
    for (const enctype of ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]) {
        await form(base + enctype + "CreateStack", base + "/?" + credentials("cloudformation"), enctype,
            {Action: "CreateStack", StackName: "x", TemplateBody: template})
        await form(base + enctype + "PutRolePolicy", base + "/?" + credentials("iam"), enctype,
            {Action: "PutRolePolicy"})
        await form(base + enctype + "object", base + "/private", enctype, {key: "x", file: "x"})
        await form(base + enctype + "reset", base + "/_ministack/reset", enctype, {})
    }
    tried.push(base + "beacon")
    navigator.sendBeacon(base + "/_ministack/reset", "{}")
    tried.push(base + "socket")
    await within(new Promise(done => {
        const socket = new WebSocket(base.replace("http", "ws") + "/")
        socket.onopen = () => { read.push(base + "socket"); done() }
        socket.onerror = done
    }))
    tried.push(base + "events")
    await within(new Promise(done => {
        const source = new EventSource(base + "/_fargate-batch/outputs")
        source.onopen = () => { read.push(base + "events"); done() }
        source.onerror = () => { source.close(); done() }
    }))
}
return {tried, read}
