// What the page says, in two languages.

const ENGLISH = {
  title: "SSH key pairs",
  otherLanguage: "中文",
  loading: "Loading…",
  signIn: "Sign in",
  signInAtIssuer: "You sign in at your organisation; a window opens for it.",
  signInTyped: "Your secret signs requests in this browser and is never sent.",
  callerId: "Caller id",
  secret: "Secret",
  continue: "Continue",
  newKeyPair: "New key pair",
  grant: "What for",
  grantNamed: "{names} in {regions}",
  grantAny: "Any name in {regions}",
  keyName: "Key name",
  nameHint: "Letters, digits and _, at most 25. Yours are like {names}.",
  nameAny: "Letters, digits and _, at most 25.",
  nameWrong: "Letters, digits and _ only, 1 to 25 of them.",
  nameNotGranted: "The policy grants you names like {names}.",
  fieldsWrong: "Correct the marked fields.",
  region: "Region",
  expiry: "Removed after",
  expiryNever: "Never",
  minutesLongest: "{n} min (the longest)",
  hoursLongest: "{n} h (the longest)",
  daysLongest: "{n} d (the longest)",
  minutes: "{n} min",
  hours: "{n} h",
  days: "{n} d",
  project: "Project",
  tags: "Tags",
  optional: "{key} (optional)",
  tagWrong: "{key} has to be like {pattern}.",
  advanced: "Advanced",
  format: "Private key format",
  recipient: "Seal to this public key instead",
  recipientHint: "age1…, ssh-ed25519 …, ssh-rsa …, PEM, JWK or PGP. Only its owner can open the result.",
  sealedHere: "The private key is sealed to a key that only this page has, and opened here.",
  sealedPasted: "The private key is sealed to the public key above; this page cannot open it.",
  sealedRegistered: "The private key is sealed to the key that is registered for you.",
  create: "Create key pair",
  creating: "Creating the key pair…",
  again: "Try again",
  created: "Key pair {name} is ready",
  saveNow: "Save the private key now. Once this page is closed or reloaded, nobody can give it to you again.",
  savePrivate: "Save private key",
  copyPrivate: "Copy private key",
  showPrivate: "Show private key",
  privateKey: "Private key",
  sealedTo: "The private key is in this envelope, sealed to the recipient.",
  envelope: "Sealed private key",
  saveEnvelope: "Save as {file}",
  openWith: "Open it with",
  copy: "Copy",
  copied: "Copied.",
  notCopied: "Your browser does not let this page copy. Select the text and copy it.",
  saved: "Saved as {file}.",
  logIn: "Log in with it",
  logInHint: "Bind the key pair to a server, or add the public key to its authorized_keys. HOST is its address.",
  publicKey: "Public key",
  fingerprint: "Fingerprint",
  keyId: "Key id",
  expires: "Removed on",
  never: "Never",
  another: "Make another",
  requestId: "Request {id}",
  onceMore: "It can be repeated in {seconds} seconds.",
  eConfig: "The page could not load its settings. Check your connection and reload it.",
  eBrowser: "This page needs https and a current browser. Open it by its https:// address.",
  eBlocked: "The browser blocked the sign-in window. Allow it for this page and sign in again.",
  eIssuer: "The sign-in service did not answer as it should. Try again; if it stays so, tell whoever runs it.",
  eAudience:
    "You are signed in, but the service gives no token for this page. Tell whoever runs it: the audience of its tokens is not the policy's.",
  eDenied: "The sign-in was refused or cancelled. Sign in again.",
  handedOver: "You are signed in. You can close this window.",
  e401Issuer: "Your sign-in has run out, or is not known here. Sign in again; what you have entered stays.",
  e401Typed:
    "Id and secret do not fit, or this computer's clock is off by more than five minutes. Check both and type them again.",
  e400: "The request is not right. Correct this and create again:",
  e403: "The policy does not grant you this. Change the name, region, time or tags, or ask whoever keeps the policy.",
  e403Grants: "The policy grants you nothing that this page can ask for. Ask whoever keeps the policy.",
  eTaken: "A key pair of this name exists. Choose another name.",
  eInFlight: "This request is still being worked on. Wait a moment, then try again: you get its answer, and no second key pair.",
  e422: "This cannot be done as asked. Correct this and create again:",
  e429: "Too many requests. Wait a moment, then try again.",
  e502: "The cloud refused or answered wrongly; no key pair is left. Tell whoever runs this function.",
  e503: "The service is not available at the moment; no key pair is left. Wait a moment, then try again.",
  e504: "It is not known yet whether the key pair was made. Leave this page open and try again: the same request makes no second one.",
  eNetwork:
    "There was no answer. Check your connection, leave this page open and try again: the same request makes no second key pair.",
  eOther: "The function failed. Try again; if it stays so, tell whoever runs it.",
  eNotOurs: "The answer does not open with this page's key. Do not use it; tell whoever runs this function.",
  eReloaded:
    "The page was closed or reloaded before the private key of {name} was saved, and the key that opens it is gone. Use another name, and have {name} deleted if it exists.",
};

export type Key = keyof typeof ENGLISH;

const CHINESE: Record<Key, string> = {
  title: "SSH 密钥对",
  otherLanguage: "English",
  loading: "正在加载…",
  signIn: "登录",
  signInAtIssuer: "请在您所在组织的登录页面登录，将打开一个新窗口。",
  signInTyped: "密钥只在本浏览器内用于签名，绝不会被发送。",
  callerId: "调用者 ID",
  secret: "密钥",
  continue: "继续",
  newKeyPair: "新建密钥对",
  grant: "用途",
  grantNamed: "{names}，地域 {regions}",
  grantAny: "任意名称，地域 {regions}",
  keyName: "密钥名称",
  nameHint: "字母、数字和 _，最多 25 个。允许的名称形如：{names}",
  nameAny: "字母、数字和 _，最多 25 个。",
  nameWrong: "只能使用字母、数字和 _，1 到 25 个。",
  nameNotGranted: "策略允许的名称形如 {names}。",
  fieldsWrong: "请更正标出的字段。",
  region: "地域",
  expiry: "自动删除",
  expiryNever: "永不",
  minutesLongest: "{n} 分钟（最长）",
  hoursLongest: "{n} 小时（最长）",
  daysLongest: "{n} 天（最长）",
  minutes: "{n} 分钟",
  hours: "{n} 小时",
  days: "{n} 天",
  project: "项目",
  tags: "标签",
  optional: "{key}（可选）",
  tagWrong: "{key} 须形如 {pattern}。",
  advanced: "高级",
  format: "私钥格式",
  recipient: "改为加密给此公钥",
  recipientHint: "age1…、ssh-ed25519 …、ssh-rsa …、PEM、JWK 或 PGP。只有其所有者能打开结果。",
  sealedHere: "私钥加密给仅本页持有的密钥，并在此处解开。",
  sealedPasted: "私钥加密给上方的公钥；本页无法打开它。",
  sealedRegistered: "私钥加密给为您登记的公钥。",
  create: "创建密钥对",
  creating: "正在创建密钥对…",
  again: "重试",
  created: "密钥对 {name} 已就绪",
  saveNow: "请立即保存私钥。关闭或刷新本页后，任何人都无法再次提供它。",
  savePrivate: "保存私钥",
  copyPrivate: "复制私钥",
  showPrivate: "显示私钥",
  privateKey: "私钥",
  sealedTo: "私钥已加密给接收者，内容如下。",
  envelope: "加密的私钥",
  saveEnvelope: "保存为 {file}",
  openWith: "打开命令",
  copy: "复制",
  copied: "已复制。",
  notCopied: "浏览器不允许本页复制。请选中文本后自行复制。",
  saved: "已保存为 {file}。",
  logIn: "用它登录",
  logInHint: "将密钥对绑定到服务器，或把公钥加入其 authorized_keys。HOST 为服务器地址。",
  publicKey: "公钥",
  fingerprint: "指纹",
  keyId: "密钥 ID",
  expires: "删除时间",
  never: "永不",
  another: "再建一个",
  requestId: "请求 {id}",
  onceMore: "{seconds} 秒后可以重试。",
  eConfig: "无法加载本页的设置。请检查网络连接并刷新。",
  eBrowser: "本页需要 https 和较新的浏览器。请用 https:// 地址打开。",
  eBlocked: "浏览器拦截了登录窗口。请允许本页弹出窗口，然后重新登录。",
  eIssuer: "登录服务没有正常响应。请重试；若仍如此，请告知其管理员。",
  eAudience: "您已登录，但登录服务没有为本页签发令牌。请告知管理员：令牌的 audience 与策略不符。",
  eDenied: "登录被拒绝或取消。请重新登录。",
  handedOver: "您已登录，可以关闭此窗口。",
  e401Issuer: "登录已过期，或此处不认识该身份。请重新登录；已填写的内容会保留。",
  e401Typed: "ID 与密钥不匹配，或本机时钟偏差超过五分钟。请检查后重新输入。",
  e400: "请求有误。请更正以下内容后重新创建：",
  e403: "策略不允许此请求。请更改名称、地域、时间或标签，或向策略管理员申请。",
  e403Grants: "策略没有授予您本页可请求的任何内容。请向策略管理员申请。",
  eTaken: "此名称的密钥对已存在。请换一个名称。",
  eInFlight: "该请求仍在处理中。请稍候再重试：您会得到它的结果，不会产生第二个密钥对。",
  e422: "无法按此要求完成。请更正以下内容后重新创建：",
  e429: "请求过多。请稍候再重试。",
  e502: "云端拒绝或响应有误，没有留下密钥对。请告知本函数的管理员。",
  e503: "服务暂不可用，没有留下密钥对。请稍候再重试。",
  e504: "尚不清楚密钥对是否已创建。请保持本页打开并重试：同一请求不会产生第二个密钥对。",
  eNetwork: "没有收到响应。请检查网络连接，保持本页打开并重试：同一请求不会产生第二个密钥对。",
  eOther: "函数出错。请重试；若仍如此，请告知其管理员。",
  eNotOurs: "返回的内容无法用本页的密钥打开。请勿使用，并告知本函数的管理员。",
  eReloaded: "在保存 {name} 的私钥之前，本页被关闭或刷新，能打开它的密钥已丢失。请换一个名称；若 {name} 已存在，请将其删除。",
};

export type Values = Record<string, string | number>;

let chinese = /^zh\b/i.test(navigator.language);

export function say(key: Key, values: Values = {}): string {
  const text = (chinese ? CHINESE : ENGLISH)[key];
  return text.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
}

/** Write a text into an element; it follows when the language changes. */
export function write(element: HTMLElement, key: Key, values: Values = {}): void {
  element.dataset["text"] = key;
  element.dataset["values"] = JSON.stringify(values);
  element.textContent = say(key, values);
}

export function clear(element: HTMLElement): void {
  delete element.dataset["text"];
  element.textContent = "";
}

function translate(): void {
  document.documentElement.lang = chinese ? "zh-CN" : "en";
  document.title = say("title");
  for (const element of document.querySelectorAll<HTMLElement>("[data-text]")) {
    element.textContent = say(element.dataset["text"] as Key, JSON.parse(element.dataset["values"] ?? "{}"));
  }
  for (const element of document.querySelectorAll<HTMLElement>("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset["label"] as Key));
  }
}

/** Show the page in the browser's language, and offer the other one. */
export function speak(button: HTMLButtonElement): void {
  button.addEventListener("click", () => {
    chinese = !chinese;
    offer();
  });
  const offer = () => {
    translate();
    button.textContent = say("otherLanguage");
    button.lang = chinese ? "en" : "zh-CN";
  };
  offer();
  button.hidden = false;
}
