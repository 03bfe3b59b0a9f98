package cloud

// The words for generated organizations.

type department struct{ key, title string }

var departments = []department{
	{"eng", "Engineering"}, {"sales", "Sales"}, {"ops", "Operations"}, {"sig", "Engineering Interest Groups"},
	{"support", "Customer Support"},
	{"fin", "Finance"}, {"hr", "People"}, {"legal", "Legal"}, {"mkt", "Marketing"}, {"data", "Data"},
	{"sec", "Security"}, {"prod", "Product"},
}

var teams = []string{
	"all", "leads", "core", "platform", "web", "mobile", "backend", "payments", "search", "identity", "billing",
	"onboarding", "analytics", "infra", "tools",
	"quality", "release", "docs", "research", "design", "partners", "enterprise", "growth", "retention", "compliance",
	"audit", "planning", "oncall", "contractors", "alumni",
}

var places = []string{"", "emea", "amer", "apac", "berlin", "london", "sydney", "austin", "bengaluru", "tokyo",
	"toronto", "lisbon"}

var titles = []string{"Engineer", "Senior Engineer", "Manager", "Analyst", "Specialist", "Director", "Coordinator",
	"Consultant", "Lead", "Architect"}

var firstNames = []string{
	"Ada", "Aiko", "Alan", "Amara", "Ana", "Anders", "Anya", "Aria", "Arjun", "Astrid", "Beatriz", "Ben", "Bruno",
	"Carla", "Chen", "Clara", "Daan", "Daniel", "Daria", "Diego",
	"Dina", "Elena", "Elif", "Emil", "Emma", "Eva", "Fatima", "Felix", "Femi", "Finn", "Freya", "Gabriel", "Grace",
	"Hana", "Hassan", "Hugo", "Ibrahim", "Ines", "Ingrid", "Isaac",
	"Ivan", "Jana", "Jonas", "Julia", "Kai", "Karim", "Kofi", "Lara", "Leila", "Leo", "Lin", "Lucas", "Luisa", "Maja",
	"Marco", "Maria", "Mateo", "Maya", "Mei", "Mila",
	"Mohammed", "Nadia", "Naomi", "Nikhil", "Nina", "Noah", "Nora", "Olga", "Omar", "Oscar", "Paula", "Pedro", "Petra",
	"Priya", "Quinn", "Rafael", "Rania", "Ravi", "Rosa", "Ruth",
	"Sam", "Sara", "Sofia", "Sven", "Tariq", "Tess", "Theo", "Tomas", "Uma", "Vera", "Viktor", "Wei", "Yara", "Yuki",
	"Yusuf", "Zane", "Zoe",
}

var lastNames = []string{
	"Abbott", "Abe", "Adeyemi", "Ahmed", "Alvarez", "Andersen", "Bauer", "Becker", "Bennett", "Berg", "Bianchi",
	"Blake", "Boateng", "Bose", "Brandt", "Campos", "Castro", "Chen", "Cohen", "Costa",
	"Cruz", "Dahl", "Das", "Diaz", "Dubois", "Eriksen", "Evans", "Farah", "Fischer", "Flores", "Fraser", "Garcia",
	"Gomez", "Gupta", "Haas", "Hansen", "Haddad", "Hughes", "Ibarra", "Ito",
	"Ivanova", "Jansen", "Jensen", "Johansson", "Kamara", "Kaur", "Keller", "Khan", "Kim", "Klein", "Kowalski", "Kumar",
	"Larsen", "Lee", "Lopez", "Malik", "Marino", "Martin", "Mbeki", "Mehta",
	"Meyer", "Moreau", "Mori", "Murphy", "Nakamura", "Nguyen", "Nielsen", "Novak", "Okafor", "Olsen", "Ortiz", "Park",
	"Patel", "Pereira", "Petrov", "Popescu", "Ramos", "Rao", "Reyes", "Ricci",
	"Rossi", "Roy", "Sato", "Schmidt", "Schulz", "Shah", "Silva", "Singh", "Smith", "Sousa", "Svensson", "Tan",
	"Tanaka", "Torres", "Tran", "Usman", "Vargas", "Virtanen", "Wagner", "Walker",
	"Weber", "White", "Wong", "Wu", "Yamada", "Yilmaz", "Young", "Zhang", "Zimmer",
}
